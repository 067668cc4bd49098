package dev.cortex.events.cli;

import java.sql.SQLException;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "reinstate",
    description =
        "Take a handler back that is retired or retiring; the next worker that starts with it subscribes"
            + " it again.")
final class ReinstateCommand implements Callable<Integer> {
  @ParentCommand private Cortex cortex;

  @Parameters(paramLabel = "HANDLER", description = "Its name.")
  private String handler;

  @Mixin private Reason reason;

  @Override
  public Integer call() throws SQLException {
    try (Installation installation = cortex.open()) {
      installation.operations(Role.OPERATOR).reinstateHandler(handler, reason.text());
      cortex.console().print("reinstated");
    }
    return 0;
  }
}
