package dev.cortex.events.cli;

import dev.cortex.events.operate.BackfillRequest;
import dev.cortex.events.operate.Operations;
import java.sql.SQLException;
import java.time.Instant;
import java.util.Optional;
import java.util.concurrent.Callable;
import javax.sql.DataSource;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "backfill",
    description = {
      "Give a handler the events of the log that it subscribes to and has not got, such as those that were"
          + " emitted before it was known. The running workers carry it out; `cortex backfills` shows how"
          + " far it is.",
      "Back-filled deliveries have priority low, so that new ones go first. Of an ordered handler they run"
          + " by the number of their event: pause it until the back-fill has finished, to have them before"
          + " new ones of their key."
    })
final class BackfillCommand implements Callable<Integer> {
  @ParentCommand private Cortex cortex;

  @Parameters(paramLabel = "HANDLER", description = "Its name.")
  private String handler;

  @Option(
      names = "--since",
      paramLabel = "T",
      description =
          "Only events received then or later: 2025-12-01T22:54:20Z, or 15m, 2h, 7d ago; all unless"
              + " given.")
  private Optional<String> since;

  @Option(
      names = "--until",
      paramLabel = "T",
      description = "Only events received before then; before now unless given.")
  private Optional<String> until;

  @Option(
      names = "--rate",
      paramLabel = "N",
      defaultValue = "100",
      description = "Deliveries per second, 1 to 10,000; ${DEFAULT-VALUE} unless given.")
  private int rate;

  @Option(names = "--imported", description = "Also events that an import only recorded.")
  private boolean imported;

  @Option(names = "--cancel", description = "End the one that is under way; what it made stays.")
  private boolean cancel;

  @Mixin private Reason reason;

  @Override
  public Integer call() throws SQLException {
    if (cancel && (since.isPresent() || until.isPresent() || imported)) {
      throw cortex.wrong("with --cancel no range can be given");
    }
    cortex.requireWithin("--rate", rate, 1, 10_000);
    try (Installation installation = cortex.open()) {
      DataSource database = installation.connection(Role.OPERATOR);
      Operations operations = Operations.on(database);
      if (cancel) {
        cortex
            .console()
            .print("cancelled back-fill " + operations.cancelBackfill(handler, reason.text()));
      } else {
        int id = operations.backfill(handler, request(database), reason.text());
        cortex
            .console()
            .print(
                "back-fill " + id + " is the workers' now; `cortex backfills` shows how far it is");
      }
    }
    return 0;
  }

  private BackfillRequest request(DataSource database) throws SQLException {
    Instant now = Installation.now(database);
    Optional<Instant> from = since.map(text -> cortex.moment("--since", text, now));
    Instant to = until.map(text -> cortex.moment("--until", text, now)).orElse(now);
    if (from.filter(first -> !first.isBefore(to)).isPresent()) {
      throw cortex.wrong(
          "--since must be before --until, were %s and %s"
              .formatted(since.orElseThrow(), until.orElse("now")));
    }
    BackfillRequest request = BackfillRequest.everything().withRate(rate).withImported(imported);
    request = from.isPresent() ? request.withSince(from.get()) : request;
    return until.isPresent() ? request.withUntil(to) : request;
  }
}
