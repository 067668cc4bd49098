package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Json;
import dev.cortex.events.handler.EventHandler;
import dev.cortex.events.handler.HandlerContext;
import dev.cortex.events.handler.Outcome;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.LinkedHashMap;
import java.util.List;
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
 *   <li>Ended episodes, alerts, outcomes of tasks, patterns and records of clean-ups are removed
 *       after {@code record_kept_for} (90 days). Statistics, the model and the list of learning
 *       cycles are kept.
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

  /** A table and how its expired rows are removed. The parameter: how many at most. */
  private record Target(String table, String removal) {}

  private static final List<Target> TARGETS =
      List.of(
          new Target(
              "worker_health",
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
              """),
          new Target(
              "stale_episodes",
              """
              with expired as (
                select e.episode_id
                  from fleet.stale_episodes e
                 cross join fleet.settings s
                 where e.ended_at < clock_timestamp() - s.record_kept_for
                 limit ?
                   for update of e skip locked
              )
              delete from fleet.stale_episodes e using expired x where e.episode_id = x.episode_id
              """),
          new Target(
              "alerts",
              """
              with expired as (
                select a.event_id
                  from fleet.alerts a
                 cross join fleet.settings s
                 where a.received_at < clock_timestamp() - s.record_kept_for
                 limit ?
                   for update of a skip locked
              )
              delete from fleet.alerts a using expired x where a.event_id = x.event_id
              """),
          new Target(
              "task_outcomes",
              """
              with expired as (
                select o.event_id
                  from fleet.task_outcomes o
                 cross join fleet.settings s
                 where o.received_at < clock_timestamp() - s.record_kept_for
                 limit ?
                   for update of o skip locked
              )
              delete from fleet.task_outcomes o using expired x where o.event_id = x.event_id
              """),
          new Target(
              "patterns",
              """
              with expired as (
                select p.event_id
                  from fleet.patterns p
                 cross join fleet.settings s
                 where p.received_at < clock_timestamp() - s.record_kept_for
                 limit ?
                   for update of p skip locked
              )
              delete from fleet.patterns p using expired x where p.event_id = x.event_id
              """),
          new Target(
              "cleanups",
              """
              with expired as (
                select c.event_id, c.generation
                  from fleet.cleanups c
                 cross join fleet.settings s
                 where c.finished_at < clock_timestamp() - s.record_kept_for
                 limit ?
                   for update of c skip locked
              )
              delete from fleet.cleanups c using expired x
               where (c.event_id, c.generation) = (x.event_id, x.generation)
              """));

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
    try (Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery("select clock_timestamp()")) {
      row.next();
      return row.getObject(1, OffsetDateTime.class).toInstant();
    }
  }

  private static Map<String, Integer> remove(Connection connection) throws SQLException {
    Map<String, Integer> removed = new LinkedHashMap<>();
    for (Target target : TARGETS) {
      try (PreparedStatement statement = connection.prepareStatement(target.removal())) {
        statement.setInt(1, MAX_ROWS);
        removed.put(target.table(), statement.executeUpdate());
      }
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
    try (PreparedStatement statement = context.connection().prepareStatement(RECORD)) {
      statement.setString(1, event.id());
      statement.setInt(2, context.generation());
      statement.setObject(3, start.atOffset(ZoneOffset.UTC));
      statement.setString(4, event.source());
      statement.setString(5, Json.of(removed).text());
      statement.setBoolean(6, isComplete);
      try (ResultSet row = statement.executeQuery()) {
        row.next();
        return row.getObject(1, OffsetDateTime.class).toInstant();
      }
    }
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
