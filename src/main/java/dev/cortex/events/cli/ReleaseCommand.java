package dev.cortex.events.cli;

import java.sql.SQLException;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "release",
    description = {
      "Let a blocked key of an ordered handler go on without the event that blocks it.",
      "That event stays what it is, a dead letter or due later, and has no order any more."
    })
final class ReleaseCommand implements Callable<Integer> {
  @ParentCommand private Cortex cortex;

  @Parameters(index = "0", paramLabel = "HANDLER", description = "Its name.")
  private String handler;

  @Parameters(index = "1", paramLabel = "KEY", description = "The key, as `cortex blocked` has it.")
  private String key;

  @Mixin private Reason reason;

  @Override
  public Integer call() throws SQLException {
    try (Installation installation = cortex.open()) {
      String event = installation.operations(Role.OPERATOR).releaseKey(handler, key, reason.text());
      cortex.console().print("released from " + event);
    }
    return 0;
  }
}
