package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Json;
import dev.cortex.events.event.Priority;
import dev.cortex.events.handler.BatchContext;
import dev.cortex.events.handler.BatchHandler;
import java.sql.SQLException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Predicate;
import java.util.stream.Collectors;

/**
 * Records each security.scan_completed, for the posture score, and emits
 * security.vulnerability_found when it has critical findings.
 *
 * <p>The rules:
 *
 * <ul>
 *   <li>What it has found is what {@code fleet.findings_of} counts, and where, what {@link
 *       SecurityFacts} tells.
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
   * Parameters: arrays of equal length with event id, scan, target, payload, scanned, received.
   * Result: the ids that were not recorded before, and their critical findings.
   */
  private static final String RECORD =
      """
      insert into fleet.scans (event_id, scan_id, target, critical, high, medium, low, scanned_at, received_at)
      select c.event_id, c.scan_id, c.target, f.critical, f.high, f.medium, f.low, c.scanned_at::timestamptz,
             c.received_at::timestamptz
        from unnest(?, ?, ?, ?, ?, ?) as c(event_id, scan_id, target, payload, scanned_at, received_at)
       cross join fleet.settings s
       cross join lateral fleet.findings_of(c.payload::jsonb) f
       where c.received_at::timestamptz > clock_timestamp() - s.record_kept_for
       order by c.event_id
          on conflict (event_id) do nothing
      returning event_id, critical
      """;

  private record Scan(Event event, SecurityFacts facts) {}

  private record Recorded(String eventId, long critical) {}

  @Override
  public void handle(List<Event> events, BatchContext context) throws SQLException {
    List<Scan> scans =
        events.stream().map(event -> new Scan(event, SecurityFacts.of(event))).toList();
    Map<String, Long> critical = record(context, scans);
    Predicate<Event> original = NewEvents.original(context);
    for (Scan scan : scans) {
      long findings = critical.getOrDefault(scan.event().id(), 0L);
      if (findings > 0 && original.test(scan.event())) {
        context.emit(vulnerability(scan, findings), scan.event());
      }
    }
  }

  /** The critical findings of each scan that was not recorded before. */
  private static Map<String, Long> record(BatchContext context, List<Scan> scans)
      throws SQLException {
    return Sql.rows(
            context.connection(),
            RECORD,
            row -> new Recorded(row.getString("event_id"), row.getLong("critical")),
            Sql.columns(
                scans,
                scan -> scan.event().id(),
                scan -> scan.facts().scanId(),
                scan -> scan.facts().target(),
                scan -> scan.event().payload().text(),
                scan -> Occurrence.of(scan.event()),
                scan -> scan.event().receivedAt()))
        .stream()
        .collect(Collectors.toMap(Recorded::eventId, Recorded::critical));
  }

  private static EventDraft vulnerability(Scan scan, long critical) {
    SecurityFacts facts = scan.facts();
    Map<String, Object> payload = new LinkedHashMap<>();
    facts.scanId().ifPresent(id -> payload.put("scan_id", id));
    payload.put("target", facts.target());
    payload.put("severity", "critical");
    payload.put("finding_count", critical);
    payload.put("title", critical + " critical findings in " + facts.target());
    return EventDraft.of("security.vulnerability_found", NAME)
        .withPayload(Json.of(payload))
        .withOccurredAt(Occurrence.of(scan.event()))
        .withPriority(Priority.CRITICAL);
  }
}
