package dev.cortex.events.fleet;

import dev.cortex.events.archive.Archive;
import dev.cortex.events.archive.ArchiveFailedException;
import dev.cortex.events.archive.ArchiveReport;
import dev.cortex.events.archive.ArchivedFile;
import dev.cortex.events.event.ErrorCode;
import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Json;
import dev.cortex.events.handler.LeaseContext;
import dev.cortex.events.handler.LeasedHandler;
import dev.cortex.events.handler.Outcome;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Takes what is older than it is kept out of the log, at system.cleanup_needed, beside {@link
 * Cleanup}, which looks after the fleet's own tables; and tells by system.cleanup_completed.
 *
 * <p>Leased, since it writes files and detaches partitions, which no transaction can. Any order is
 * the same: what is too old is too old for whoever asks first, and of two runs at once one waits.
 */
final class ArchiveRequests implements LeasedHandler {
  private static final Duration PAUSE = Duration.ofMinutes(1);

  private final Archive archive;

  ArchiveRequests(Archive archive) {
    this.archive = archive;
  }

  @Override
  public Outcome handle(Event event, LeaseContext context) {
    if (Payload.of(event).count("round").orElse(1) > 1) {
      return Outcome.done(); // the clean-up's own continuation
    }
    long start = System.nanoTime();
    ArchiveReport report;
    try {
      report = archive.run(context::isLost);
    } catch (ArchiveFailedException e) {
      if (e.code() == ErrorCode.TEMPORARY) {
        return Outcome.snooze(PAUSE);
      }
      throw e;
    }
    context.emit(completed(report, Duration.ofNanos(System.nanoTime() - start)));
    return Outcome.done();
  }

  private static EventDraft completed(ArchiveReport report, Duration duration) {
    Map<String, Object> payload = new LinkedHashMap<>();
    payload.put("removed_rows", report.removedInAll());
    payload.put("removed", report.removed());
    payload.put("expired_deliveries", report.expiredDeliveries());
    payload.put("files", report.files().stream().map(ArchivedFile::name).toList());
    payload.put("postponed", report.postponed());
    payload.put("unreadable", report.unreadable());
    payload.put("duration_ms", duration.toMillis());
    payload.put("complete", report.complete());
    payload.put(
        "message",
        report.removedInAll()
            + " rows archived or removed"
            + (report.complete() ? "" : "; left: " + report.left().get(0)));
    return EventDraft.of("system.cleanup_completed", "archive").withPayload(Json.of(payload));
  }
}
