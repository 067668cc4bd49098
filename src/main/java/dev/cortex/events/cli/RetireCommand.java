package dev.cortex.events.cli;

import dev.cortex.events.operate.Retirement;
import dev.cortex.events.operate.RetirementProgress;
import java.sql.SQLException;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "retire",
    description = {
      "Take a handler out of service: it gets nothing new from now on.",
      "Say what becomes of the deliveries that it has: --drain, they are finished, by its workers;"
          + " or --discard, they are cancelled."
    })
final class RetireCommand implements Callable<Integer> {
  @ParentCommand private Cortex cortex;

  @Parameters(paramLabel = "HANDLER", description = "Its name.")
  private String handler;

  @Option(
      names = "--drain",
      description = "Finish what it has; dead letters wait to be redriven or cancelled.")
  private boolean drain;

  @Option(names = "--discard", description = "Cancel what it has, dead letters too.")
  private boolean discard;

  @Mixin private Reason reason;

  @Override
  public Integer call() throws SQLException {
    if (drain == discard) {
      throw cortex.wrong("either --drain or --discard must be given");
    }
    try (Installation installation = cortex.open()) {
      RetirementProgress progress =
          installation
              .operations(Role.OPERATOR)
              .retireHandler(handler, drain ? Retirement.DRAIN : Retirement.DISCARD, reason.text());
      String state = progress.isRetired() ? "retired" : "retiring, the workers do the rest";
      cortex
          .console()
          .print(state + (discard ? "; deliveries cancelled: " + progress.cancelled() : ""));
    }
    return 0;
  }
}
