package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Json;
import dev.cortex.events.event.Priority;
import dev.cortex.events.handler.BatchContext;
import dev.cortex.events.handler.BatchHandler;
import java.sql.SQLException;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.function.Predicate;

/**
 * Records each security.scan_completed, for the posture score, and emits
 * security.vulnerability_found when it has critical findings.
 *
 * <p>The rules:
 *
 * <ul>
 *   <li>What it has found, and where, is what {@link Findings} tells.
 *   <li>The score of a target is 100 - (10 critical + 5 high + 2 medium + 1 low) of its newest
 *       scan, and never under 0: {@code fleet.security_posture}.
 *   <li>A scan with critical findings emits one security.vulnerability_found of priority critical,
 *       which {@link Vulnerabilities} opens a remediation for.
 *   <li>A scan is recorded once, however often it is replayed, and told of by its original delivery
 *       ({@link NewEvents}); one received longer ago than {@code record_kept_for} (90 days) not at
 *       all.
 * </ul>
 *
 * <p>Any order gives the same rows: one per event, whose content depends on nothing else; which
 * scan is the newest is worked out when asked.
 */
final class SecurityScans implements BatchHandler {
  static final String NAME = "security-scans";

  /**
   * Parameters: arrays of equal length with event id, scan, target, four counts, scanned, received.
   * Result: the ids that were not recorded before.
   */
  private static final String RECORD =
      """
      insert into fleet.scans (event_id, scan_id, target, critical, high, medium, low, scanned_at, received_at)
      select c.event_id, c.scan_id, c.target, c.critical::bigint, c.high::bigint, c.medium::bigint, c.low::bigint,
             c.scanned_at::timestamptz, c.received_at::timestamptz
        from unnest(?, ?, ?, ?, ?, ?, ?, ?, ?)
             as c(event_id, scan_id, target, critical, high, medium, low, scanned_at, received_at)
       cross join fleet.settings s
       where c.received_at::timestamptz > clock_timestamp() - s.record_kept_for
       order by c.event_id
          on conflict (event_id) do nothing
      returning event_id
      """;

  private record Scan(Event event, Findings findings) {}

  @Override
  public void handle(List<Event> events, BatchContext context) throws SQLException {
    List<Scan> scans = events.stream().map(event -> new Scan(event, Findings.of(event))).toList();
    Set<String> fresh = record(context, scans);
    Predicate<Event> original = NewEvents.original(context);
    for (Scan scan : scans) {
      if (scan.findings().critical() > 0
          && fresh.contains(scan.event().id())
          && original.test(scan.event())) {
        context.emit(vulnerability(scan), scan.event());
      }
    }
  }

  private static Set<String> record(BatchContext context, List<Scan> scans) throws SQLException {
    return new HashSet<>(
        Sql.rows(
            context.connection(),
            RECORD,
            row -> row.getString(1),
            Sql.columns(
                scans,
                scan -> scan.event().id(),
                scan -> scan.findings().scanId(),
                scan -> scan.findings().target(),
                scan -> scan.findings().critical(),
                scan -> scan.findings().high(),
                scan -> scan.findings().medium(),
                scan -> scan.findings().low(),
                scan -> Occurrence.of(scan.event()),
                scan -> scan.event().receivedAt())));
  }

  private static EventDraft vulnerability(Scan scan) {
    Findings findings = scan.findings();
    Map<String, Object> payload = new LinkedHashMap<>();
    findings.scanId().ifPresent(id -> payload.put("scan_id", id));
    payload.put("target", findings.target());
    payload.put("severity", "critical");
    payload.put("finding_count", findings.critical());
    payload.put("title", findings.critical() + " critical findings in " + findings.target());
    return EventDraft.of("security.vulnerability_found", NAME)
        .withPayload(Json.of(payload))
        .withOccurredAt(Occurrence.of(scan.event()))
        .withPriority(Priority.CRITICAL);
  }
}
