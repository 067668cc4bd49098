package dev.cortex.events.cli;

import java.sql.SQLException;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "implement",
    description = {
      "Choose what runs a handler that is both Java code and a program of the directory of --commands.",
      "Its subscriptions and deliveries stay. Workers that have both finish what they run, and go on with"
          + " the other one within seconds; one that has one of them runs that. Java where no worker has"
          + " code of that name is refused. Of a script whose work several handlers do (docs/handlers.md) it"
          + " chooses who acts on its events: the script, or those."
    })
final class ImplementCommand implements Callable<Integer> {
  @ParentCommand private Cortex cortex;

  @Parameters(index = "0", paramLabel = "HANDLER", description = "Its name.")
  private String handler;

  @Parameters(index = "1", paramLabel = "java|program", description = "What is to run it.")
  private String implementation;

  @Mixin private Reason reason;

  @Override
  public Integer call() throws SQLException {
    if (!List.of("java", "program").contains(implementation)) {
      throw cortex.wrong("it must be java or program, was " + implementation);
    }
    try (Installation installation = cortex.open()) {
      installation.operations(Role.OPERATOR).implement(handler, implementation, reason.text());
      boolean isProgram = implementation.equals("program");
      cortex
          .console()
          .print(
              isProgram
                  ? "will be run by a program, by workers that have one for it (--commands)"
                  : "will be run by Java code, by workers that have it");
    }
    return 0;
  }
}
