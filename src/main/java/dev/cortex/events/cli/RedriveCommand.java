package dev.cortex.events.cli;

import dev.cortex.events.operate.Operations;
import java.sql.SQLException;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "redrive",
    description =
        "Make dead letters of a handler available again, the oldest first, each with one more"
            + " attempt.")
final class RedriveCommand implements Callable<Integer> {
  @ParentCommand private Cortex cortex;

  @Parameters(paramLabel = "HANDLER", description = "Its name.")
  private String handler;

  @Option(names = "--type", paramLabel = "T", description = "Only of this type.")
  private Optional<String> type;

  @Option(
      names = "--limit",
      paramLabel = "N",
      defaultValue = "1000",
      description = "How many at most, up to 10,000; ${DEFAULT-VALUE} unless given.")
  private int limit;

  @Mixin private Reason reason;

  @Option(names = "--json", description = "As a JSON object.")
  private boolean json;

  @Override
  public Integer call() throws SQLException {
    cortex.requireWithin("--limit", limit, 1, Operations.MAX_ROWS);
    try (Installation installation = cortex.open()) {
      int redriven =
          installation.operations(Role.OPERATOR).redrive(handler, type, limit, reason.text());
      cortex
          .console()
          .print(json ? Report.json(Map.of("redriven", redriven)) : "redriven " + redriven);
    }
    return 0;
  }
}
