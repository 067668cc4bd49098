package dev.cortex.events.cli;

import java.sql.SQLException;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "rename",
    description = {
      "Give a handler another name; its deliveries and its audit stay with it.",
      "Workers that run under the old name go on, one that starts with it is refused. So rename first, then"
          + " deploy."
    })
final class RenameCommand implements Callable<Integer> {
  @ParentCommand private Cortex cortex;

  @Parameters(index = "0", paramLabel = "HANDLER", description = "Its name.")
  private String handler;

  @Parameters(index = "1", paramLabel = "NEW-NAME", description = "Its name from now on.")
  private String newName;

  @Mixin private Reason reason;

  @Override
  public Integer call() throws SQLException {
    try (Installation installation = cortex.open()) {
      installation.operations(Role.OPERATOR).renameHandler(handler, newName, reason.text());
      cortex.console().print("renamed");
    }
    return 0;
  }
}
