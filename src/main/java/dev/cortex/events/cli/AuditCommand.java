package dev.cortex.events.cli;

import dev.cortex.events.operate.AuditEntry;
import dev.cortex.events.operate.Operations;
import java.sql.SQLException;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;

@Command(name = "audit", description = "List every attempt of every delivery of an event.")
final class AuditCommand implements Callable<Integer> {
  private static final Report<AuditEntry> REPORT =
      Report.<AuditEntry>of("handler", AuditEntry::handler)
          .with("generation", AuditEntry::generation)
          .with("attempt", AuditEntry::attempt)
          .with("outcome", AuditEntry::outcome)
          .with("started_at", AuditEntry::startedAt)
          .with("duration_ms", entry -> entry.duration().toMillis())
          .with("worker", AuditEntry::worker)
          .with("reason", AuditEntry::reason)
          .with("error", AuditEntry::error);

  @ParentCommand private Cortex cortex;

  @Parameters(paramLabel = "EVENT-ID", description = "The public id of an event.")
  private String eventId;

  @Option(names = "--json", description = "As a JSON array.")
  private boolean json;

  @Override
  public Integer call() throws SQLException {
    try (Installation installation = cortex.open()) {
      Operations operations = installation.operations(Role.AUDITOR);
      List<AuditEntry> attempts = operations.audit(eventId);
      if (attempts.isEmpty() && !operations.isRecorded(eventId)) {
        throw new NothingFoundException("no event has this id", eventId);
      }
      if (attempts.isEmpty() && !json) {
        cortex.console().print("no attempts: " + why(operations));
      } else {
        cortex.answer(REPORT, attempts, json);
      }
    }
    return 0;
  }

  private String why(Operations operations) {
    if (!operations.deliveries(eventId).isEmpty()) {
      return "it waits";
    }
    return operations.isLogOnly(eventId)
        ? "it was recorded for the log only, as imported events are; `cortex replay` delivers it"
        : "nobody subscribes to it";
  }
}
