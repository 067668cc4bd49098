package dev.cortex.events.cli;

import java.sql.SQLException;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "retry",
    description =
        "Make a retrying or dead delivery available now, and print what it is then. Its count of"
            + " attempts stays: a dead one has one more.")
final class RetryCommand implements Callable<Integer> {
  @ParentCommand private Cortex cortex;

  @Parameters(index = "0", paramLabel = "EVENT-ID", description = "The public id of an event.")
  private String eventId;

  @Parameters(index = "1", paramLabel = "HANDLER", description = "The handler that it failed in.")
  private String handler;

  @Mixin private Reason reason;

  @Option(names = "--json", description = "As a JSON object.")
  private boolean json;

  @Override
  public Integer call() throws SQLException {
    try (Installation installation = cortex.open()) {
      String state =
          installation.operations(Role.OPERATOR).retry(eventId, handler, reason.text()).label();
      cortex.console().print(json ? Report.json(Map.of("state", state)) : state);
    }
    return 0;
  }
}
