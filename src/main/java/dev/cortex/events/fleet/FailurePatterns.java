package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.event.Priority;
import dev.cortex.events.fleet.AlertEpisodes.Trouble;
import dev.cortex.events.handler.BatchContext;
import dev.cortex.events.handler.BatchHandler;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Predicate;

/**
 * Records each task.failed in {@code fleet.failures}, and raises an alert when failures of one kind
 * are too many.
 *
 * <p>The rules:
 *
 * <ul>
 *   <li>The kind is {@code payload.error_type}, in lower case; a failure without one is of kind
 *       unknown ({@code fleet.failure_kind_of}, which {@code fleet.failure_patterns} counts by
 *       too).
 *   <li>More than {@code failure_limit} (3) failures of a kind within {@code failure_window} (1
 *       hour), by the times that they give, are a pattern. It raises one system.health_alert of
 *       priority high: alert_type failure_pattern, subject and error_type the kind, occurrences,
 *       window_seconds.
 *   <li>While the pattern goes on it is not told again; after {@code alert_quiet_after} (1 hour)
 *       without a failure that belongs to one, the next pattern is another one.
 *   <li>A failure received longer ago than {@code record_kept_for} (90 days) is not recorded, and
 *       one that is recorded already counts once. Which failures an alert is raised for: {@link
 *       NewEvents}.
 * </ul>
 *
 * <p>Any order gives the same rows and the same alert: each failure is looked at together with
 * those around it, earlier and later, after the row of its kind has been locked. Of the failures of
 * a pattern, the one that is handled last sees all of them. Rows are locked in the order of kinds.
 */
final class FailurePatterns implements BatchHandler {
  static final String NAME = "failure-patterns";

  /**
   * Parameters: arrays of equal length with event id, error type, task, task type, failed,
   * received. Locks: the kinds' rows, by kind.
   */
  private static final String RECORD =
      """
      with fresh as (
        insert into fleet.failures (event_id, error_type, task_id, task_type, failed_at, received_at)
        select f.event_id, fleet.failure_kind_of(f.error_type), f.task_id, f.task_type, f.failed_at::timestamptz,
               f.received_at::timestamptz
          from unnest(?, ?, ?, ?, ?, ?) as f(event_id, error_type, task_id, task_type, failed_at, received_at)
         cross join fleet.settings s
         where f.received_at::timestamptz > clock_timestamp() - s.record_kept_for
         order by f.event_id
            on conflict (event_id) do nothing
        returning error_type
      )
      insert into fleet.failure_kinds as k (error_type, failures)
      select f.error_type, count(*) from fresh f group by f.error_type order by f.error_type
          on conflict (error_type) do update set failures = k.failures + excluded.failures
      """;

  /**
   * The kinds of these failures that are in a pattern. Runs after {@link #RECORD}, whose locks let
   * it see all that others have recorded of these kinds. Each failure is looked at with as many
   * before and after it as the limit: a pattern that it is part of spans limit + 1 of those.
   *
   * <p>Parameter: event ids. Result: a row for each kind; occurrences up to 10,001. Index:
   * failures_kind.
   */
  private static final String PATTERNS =
      """
      select p.error_type, p.last_event_id, p.window_seconds,
             (select count(*)
                from (select from fleet.failures g
                       where g.error_type = p.error_type
                         and g.failed_at >= p.last_at - p.failure_window
                         and g.failed_at <= p.last_at
                       limit 10001) few) as occurrences
        from (select f.error_type, max(w.last_at) as last_at,
                     (array_agg(f.event_id order by f.failed_at desc, f.event_id desc))[1] as last_event_id,
                     max(s.failure_window) as failure_window,
                     max(extract(epoch from s.failure_window))::bigint as window_seconds
                from fleet.failures f
               cross join fleet.settings s
               cross join lateral (
                     select max(n.failed_at) filter (where n.failed_at - n.first_at <= s.failure_window) as last_at
                       from (select x.failed_at,
                                    lag(x.failed_at, s.failure_limit) over (order by x.failed_at, x.event_id) as first_at
                               from ((select p.failed_at, p.event_id
                                        from fleet.failures p
                                       where p.error_type = f.error_type
                                         and (p.failed_at, p.event_id) <= (f.failed_at, f.event_id)
                                       order by p.failed_at desc, p.event_id desc
                                       limit s.failure_limit + 1)
                                     union all
                                     (select p.failed_at, p.event_id
                                        from fleet.failures p
                                       where p.error_type = f.error_type
                                         and (p.failed_at, p.event_id) > (f.failed_at, f.event_id)
                                       order by p.failed_at, p.event_id
                                       limit s.failure_limit)) x) n) w
               where f.event_id = any (?)
                 and w.last_at is not null
               group by f.error_type) p
       order by p.error_type
      """;

  private record Failure(Event event, TaskFacts facts) {
    String eventId() {
      return event.id();
    }

    String taskType() {
      return facts.taskType().orElse(TaskFacts.UNSPECIFIED);
    }

    Instant failedAt() {
      return facts.happenedAt();
    }

    Instant receivedAt() {
      return event.receivedAt();
    }
  }

  @Override
  public void handle(List<Event> events, BatchContext context) throws SQLException {
    List<Failure> failures = new ArrayList<>();
    Map<String, Event> byId = new HashMap<>();
    Predicate<Event> actedOn = NewEvents.actedOn(context);
    for (Event event : events) {
      failures.add(new Failure(event, TaskFacts.of(event)));
      if (actedOn.test(event)) {
        byId.put(event.id(), event);
      }
    }
    record(context.connection(), failures);
    List<Trouble> patterns =
        Sql.rows(
            context.connection(), PATTERNS, row -> pattern(row, byId), List.copyOf(byId.keySet()));
    AlertEpisodes.see(context.connection(), context::emit, NAME, patterns);
  }

  private static void record(Connection connection, List<Failure> failures) throws SQLException {
    Sql.update(
        connection,
        RECORD,
        Sql.columns(
            failures,
            Failure::eventId,
            failure -> failure.facts().errorType(),
            failure -> failure.facts().taskId(),
            Failure::taskType,
            Failure::failedAt,
            Failure::receivedAt));
  }

  private static Trouble pattern(ResultSet row, Map<String, Event> byId) throws SQLException {
    String kind = row.getString("error_type");
    long occurrences = row.getLong("occurrences");
    long window = row.getLong("window_seconds");
    return new Trouble(
        "failure_pattern",
        kind,
        Priority.HIGH,
        occurrences + " tasks failed with " + kind + " within " + window + " s",
        Map.of("error_type", kind, "occurrences", occurrences, "window_seconds", window),
        Objects.requireNonNull(byId.get(row.getString("last_event_id"))));
  }
}
