package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.handler.BatchContext;
import dev.cortex.events.handler.BatchHandler;
import java.sql.SQLException;
import java.util.List;

/**
 * Records each security.vulnerability_found. A critical one is a threat, and opens a remediation.
 *
 * <p>The rules:
 *
 * <ul>
 *   <li>A vulnerability without a severity has the event's priority as its severity.
 *   <li>What it is called is {@code payload.title} (or {@code description}, {@code cve}, {@code
 *       package}, {@code type}), cut to 200 characters.
 *   <li>A remediation ({@code fleet.remediations}) is open until a later scan of the target has no
 *       critical finding. The last ten threats are at hand in {@code fleet.threats}.
 *   <li>One received longer ago than {@code record_kept_for} (90 days) is not recorded.
 * </ul>
 *
 * <p>Any order gives the same rows: one per event, whose content depends on nothing else; what is
 * open, and what are the last ten, is worked out when asked.
 */
final class Vulnerabilities implements BatchHandler {

  /**
   * Parameters: arrays of equal length with event id, scan, target, severity, title, found,
   * received.
   */
  private static final String RECORD =
      """
      insert into fleet.vulnerabilities (event_id, scan_id, target, severity, title, found_at, received_at)
      select v.event_id, v.scan_id, v.target, v.severity, v.title, v.found_at::timestamptz, v.received_at::timestamptz
        from unnest(?, ?, ?, ?, ?, ?, ?) as v(event_id, scan_id, target, severity, title, found_at, received_at)
       cross join fleet.settings s
       where v.received_at::timestamptz > clock_timestamp() - s.record_kept_for
       order by v.event_id
          on conflict (event_id) do nothing
      """;

  private record Vulnerability(Event event, SecurityFacts facts, String title) {
    static Vulnerability of(Event event) {
      return new Vulnerability(
          event,
          SecurityFacts.of(event),
          Payload.of(event)
              .shortText("title", "description", "cve", "package", "type")
              .orElse("unnamed"));
    }

    String severity() {
      return facts.severity().orElse(event.priority().label());
    }
  }

  @Override
  public void handle(List<Event> events, BatchContext context) throws SQLException {
    Sql.update(
        context.connection(),
        RECORD,
        Sql.columns(
            events.stream().map(Vulnerability::of).toList(),
            found -> found.event().id(),
            found -> found.facts().scanId(),
            found -> found.facts().target(),
            Vulnerability::severity,
            Vulnerability::title,
            found -> Occurrence.of(found.event()),
            found -> found.event().receivedAt()));
  }
}
