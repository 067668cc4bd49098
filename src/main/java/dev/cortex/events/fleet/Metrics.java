package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.event.InvalidEventException;
import dev.cortex.events.handler.BatchContext;
import dev.cortex.events.handler.BatchHandler;
import java.sql.SQLException;
import java.util.List;
import java.util.OptionalLong;

/**
 * Counts all events of the fleet in {@code fleet.metrics}: per type and minute of receipt, with how
 * long things took.
 *
 * <p>The rules:
 *
 * <ul>
 *   <li>Of the fleet are the families worker, task, security, routing, learning, system and daemon.
 *       Others are not, and cost their emitters no delivery.
 *   <li>The minute is that of receipt, by the database's clock, whenever the event is handled.
 *   <li>The duration is {@code payload.duration_ms}, else {@code duration_seconds}, {@code
 *       duration} or {@code execution_time} in seconds; what cannot be read as one is none.
 *   <li>An event received longer ago than {@code metrics_kept_for} (14 days) is not counted. One
 *       that is replayed does not count again ({@link NewEvents}).
 * </ul>
 *
 * <p>Any order gives the same rows: sums and maxima. Rows are locked in the order of minutes, then
 * types.
 */
final class Metrics implements BatchHandler {
  static final String NAME = "metrics";

  /** Parameters: arrays of equal length with type, received, duration in ms. */
  private static final String COUNT =
      """
      insert into fleet.metrics as m (minute, type, events, timed, total_duration_ms, max_duration_ms)
      select date_trunc('minute', e.received_at::timestamptz), e.type, count(*), count(e.duration_ms),
             coalesce(sum(e.duration_ms::bigint), 0), coalesce(max(e.duration_ms::bigint), 0)
        from unnest(?, ?, ?) as e(type, received_at, duration_ms)
       cross join fleet.settings s
       where e.received_at::timestamptz > clock_timestamp() - s.metrics_kept_for
       group by 1, 2
       order by 1, 2
          on conflict (minute, type) do update
         set events = m.events + excluded.events,
             timed = m.timed + excluded.timed,
             total_duration_ms = m.total_duration_ms + excluded.total_duration_ms,
             max_duration_ms = greatest(m.max_duration_ms, excluded.max_duration_ms)
      """;

  @Override
  public void handle(List<Event> events, BatchContext context) throws SQLException {
    Sql.update(
        context.connection(),
        COUNT,
        Sql.columns(
            events.stream().filter(NewEvents.original(context)).toList(),
            Event::type,
            Event::receivedAt,
            Metrics::durationMs));
  }

  private static OptionalLong durationMs(Event event) {
    try {
      return Payload.of(event).durationMs();
    } catch (InvalidEventException e) {
      // Whoever needs the duration says what is wrong with it; the event has happened all the same.
      return OptionalLong.empty();
    }
  }
}
