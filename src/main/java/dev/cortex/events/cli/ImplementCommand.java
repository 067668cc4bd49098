package dev.cortex.events.cli;

import java.sql.SQLException;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "implement",
    description = {
      "Choose what runs a handler that is both Java code and a program of the directory of --commands.",
      "Its subscriptions and deliveries stay. Workers finish what they run, and go on with the other one"
          + " within seconds."
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
    try (Installation installation = cortex.open()) {
      installation.operations(Role.OPERATOR).implement(handler, implementation, reason.text());
      cortex.console().print("implemented by " + implementation);
    }
    return 0;
  }
}
