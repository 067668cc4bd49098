package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Json;
import dev.cortex.events.handler.EventHandler;
import dev.cortex.events.handler.HandlerContext;
import dev.cortex.events.handler.Outcome;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Removes what has expired from the fleet's tables, at system.cleanup_needed, which a schedule
 * emits on Sundays at 02:00 UTC.
 *
 * <p>The rules:
 *
 * <ul>
 *   <li>A worker not heard of for {@code worker_kept_for} (7 days) is forgotten, and its stale
 *       episode ends.
 *   <li>Metrics are removed after {@code metrics_kept_for} (14 days), all other records that {@link
 *       ExpiredRows} lists after {@code record_kept_for} (90 days), when they are over. Statistics,
 *       the model and the list of learning cycles are kept.
 *   <li>One clean-up removes at most 10,000 rows of each table. Where more have expired, it asks
 *       for another one, up to the 25th.
 *   <li>What it removed is recorded in {@code fleet.cleanups} and told by system.cleanup_completed.
 * </ul>
 *
 * <p>Any order, and several at once, leave the same rows: what has expired is nobody's business any
 * more, and a row that another transaction holds is passed over.
 */
final class Cleanup implements EventHandler {
  private static final int MAX_ROWS = 10_000;
  private static final int MAX_ROUNDS = 25;

  /**
   * Forgets workers, and ends their stale episodes. Parameter: how many at most. Locks: the
   * workers' rows, SKIP LOCKED; the episodes'.
   */
  private static final String FORGET_WORKERS =
      """
      with expired as (
        select w.worker_id
          from fleet.worker_health w
         cross join fleet.settings s
         where w.heard_at < clock_timestamp() - s.worker_kept_for
         order by w.worker_id
         limit ?
           for update of w skip locked
      ), ended as (
        update fleet.stale_episodes e
           set ended_at = clock_timestamp()
          from expired x
         where e.worker_id = x.worker_id
           and e.ended_at is null
      )
      delete from fleet.worker_health w using expired x where w.worker_id = x.worker_id
      """;

  /** Parameters: event id, generation, started, requested by, removed, complete. */
  private static final String RECORD =
      """
      insert into fleet.cleanups (event_id, generation, started_at, finished_at, requested_by, removed, complete)
      values (?, ?, ?, clock_timestamp(), ?, ?::jsonb, ?)
      returning finished_at
      """;

  @Override
  public Outcome handle(Event event, HandlerContext context) throws SQLException {
    long round = Payload.of(event).count("round").orElse(1);
    Connection connection = context.connection();
    Instant start = now(connection);
    Map<String, Integer> removed = remove(connection);
    boolean isComplete = removed.values().stream().noneMatch(rows -> rows >= MAX_ROWS);
    Instant end = record(context, event, start, removed, isComplete);
    context.emit(completed(removed, Duration.between(start, end), isComplete));
    if (!isComplete && round < MAX_ROUNDS) {
      context.emit(
          EventDraft.of("system.cleanup_needed", "cleanup")
              .withPayload(Json.of(Map.of("reason", "continued", "round", round + 1))));
    }
    return Outcome.done();
  }

  private static Instant now(Connection connection) throws SQLException {
    return Sql.rows(connection, "select clock_timestamp()", Cleanup::moment).get(0);
  }

  private static Instant moment(ResultSet row) throws SQLException {
    return row.getObject(1, OffsetDateTime.class).toInstant();
  }

  private static Map<String, Integer> remove(Connection connection) throws SQLException {
    Map<String, Integer> removed = new LinkedHashMap<>();
    removed.put("worker_health", Sql.update(connection, FORGET_WORKERS, MAX_ROWS));
    for (ExpiredRows expired : ExpiredRows.ALL) {
      removed.put(expired.table(), expired.remove(connection, MAX_ROWS));
    }
    return removed;
  }

  private static Instant record(
      HandlerContext context,
      Event event,
      Instant start,
      Map<String, Integer> removed,
      boolean isComplete)
      throws SQLException {
    return Sql.rows(
            context.connection(),
            RECORD,
            Cleanup::moment,
            event.id(),
            context.generation(),
            start,
            event.source(),
            Json.of(removed).text(),
            isComplete)
        .get(0);
  }

  private static EventDraft completed(
      Map<String, Integer> removed, Duration duration, boolean isComplete) {
    int rows = removed.values().stream().mapToInt(Integer::intValue).sum();
    Map<String, Object> payload = new LinkedHashMap<>();
    payload.put("removed_rows", rows);
    payload.put("removed", removed);
    payload.put("duration_ms", duration.toMillis());
    payload.put("complete", isComplete);
    payload.put(
        "message", rows + " expired rows removed" + (isComplete ? "" : ", more have expired"));
    return EventDraft.of("system.cleanup_completed", "cleanup").withPayload(Json.of(payload));
  }
}
