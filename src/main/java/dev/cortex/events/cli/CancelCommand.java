package dev.cortex.events.cli;

import dev.cortex.events.operate.Cancellation;
import java.sql.SQLException;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "cancel",
    description = {
      "End the deliveries of an event, whatever their state. What waits, or is leased, ends at"
          + " once; the handler of a leased one is told at its next renewal.",
      "What runs in a transaction is shown as running: its handler is told, and it ends cancelled"
          + " at the end of that run, unless it finishes first."
    })
final class CancelCommand implements Callable<Integer> {
  private static final Report<Cancellation> REPORT =
      Report.<Cancellation>of("handler", Cancellation::handler)
          .with("generation", Cancellation::generation)
          .with("state", cancellation -> cancellation.state().label());

  @ParentCommand private Cortex cortex;

  @Parameters(paramLabel = "EVENT-ID", description = "The public id of an event.")
  private String eventId;

  @Option(
      names = "--handler",
      paramLabel = "HANDLER",
      description = "Only its delivery to this one.")
  private Optional<String> handler;

  @Mixin private Reason reason;

  @Option(names = "--json", description = "As a JSON array.")
  private boolean json;

  @Override
  public Integer call() throws SQLException {
    try (Installation installation = cortex.open()) {
      List<Cancellation> cancellations =
          installation.operations(Role.OPERATOR).cancel(eventId, handler, reason.text());
      if (cancellations.isEmpty() && !json) {
        cortex.console().print("nothing to cancel: every delivery is finished");
      } else {
        cortex.answer(REPORT, cancellations, json);
      }
    }
    return 0;
  }
}
