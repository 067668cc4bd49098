package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.handler.BatchContext;
import dev.cortex.events.handler.BatchHandler;
import java.sql.SQLException;
import java.time.Instant;
import java.util.List;
import java.util.Locale;

/**
 * Records every system.health_alert in {@code fleet.alerts}.
 *
 * <p>The rules:
 *
 * <ul>
 *   <li>Alerts of one {@code payload.alert_type} (or {@code type}) and one subject ({@code
 *       payload.subject}, {@code component} or {@code worker_id}) are of one kind.
 *   <li>An alert without a severity has the event's priority as its severity.
 *   <li>An alert that comes within {@code alert_quiet_after} (1 hour) of one of its kind repeats
 *       it; any other opens an episode. The view {@code fleet.alert_episodes} says which is which,
 *       and {@code fleet.dashboard_events} shows each.
 *   <li>An alert received longer ago than {@code record_kept_for} (90 days) is not recorded.
 * </ul>
 *
 * <p>Any order gives the same rows: one per event, whose content depends on nothing else; what
 * opens and what repeats is worked out when asked.
 */
final class HealthAlerts implements BatchHandler {

  /**
   * Parameters: arrays of equal length with event id, type, subject, severity, raised, received.
   */
  private static final String RECORD =
      """
      insert into fleet.alerts (event_id, alert_type, subject, severity, raised_at, received_at)
      select a.event_id, a.alert_type, a.subject, a.severity, a.raised_at::timestamptz, a.received_at::timestamptz
        from unnest(?, ?, ?, ?, ?, ?) as a(event_id, alert_type, subject, severity, raised_at, received_at)
       cross join fleet.settings s
       where a.received_at::timestamptz > clock_timestamp() - s.record_kept_for
       order by a.event_id
          on conflict (event_id) do nothing
      """;

  private record Alert(
      String eventId,
      String type,
      String subject,
      String severity,
      Instant raisedAt,
      Instant receivedAt) {

    static Alert of(Event event) {
      Payload payload = Payload.of(event);
      return new Alert(
          event.id(),
          payload.shortText("alert_type", "type").orElse("unspecified"),
          payload.shortText("subject", "component", "worker_id").orElse(""),
          payload.shortText("severity").orElse(event.priority().label()).toLowerCase(Locale.ROOT),
          Occurrence.of(event),
          event.receivedAt());
    }
  }

  @Override
  public void handle(List<Event> events, BatchContext context) throws SQLException {
    List<Alert> alerts = events.stream().map(Alert::of).toList();
    Sql.update(
        context.connection(),
        RECORD,
        Sql.columns(
            alerts,
            Alert::eventId,
            Alert::type,
            Alert::subject,
            Alert::severity,
            Alert::raisedAt,
            Alert::receivedAt));
  }
}
