package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.InvalidEventException;
import dev.cortex.events.event.Json;
import dev.cortex.events.handler.EventHandler;
import dev.cortex.events.handler.HandlerContext;
import dev.cortex.events.handler.Outcome;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.DateTimeException;
import java.time.LocalDate;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Learns from the tasks that have ended since the last cycle, at learning.cycle_requested.
 *
 * <p>The rules:
 *
 * <ul>
 *   <li>At most one cycle a day, whoever asks: the day is {@code payload.date}, else the UTC date
 *       on which the request was made. Any further request is cancelled, with the reason.
 *   <li>A cycle takes every outcome in {@code fleet.task_outcomes} that none has taken, the oldest
 *       200,000 at most; the rest is left to the next one.
 *   <li>It emits learning.pattern_detected for each type of task and master that it saw
 *       (pattern_type routing_outcome: successes, failures, durations in milliseconds) and for each
 *       type of task and error type that failed more often than {@code failure_limit} (3) in it
 *       (pattern_type recurring_failure: occurrences).
 * </ul>
 *
 * <p>Any order of requests and outcomes counts each outcome once: an outcome's row says which cycle
 * has taken it, so one that is recorded late is in the next cycle. Requests for the same day wait
 * for each other on the primary key of {@code fleet.learning_cycles}.
 */
final class LearningCycle implements EventHandler {
  private static final int MAX_OUTCOMES = 200_000;

  /** Parameters: date, type, requested by, event id. Result: no row when the day has its cycle. */
  private static final String BEGIN =
      """
      insert into fleet.learning_cycles (cycle_date, cycle_type, requested_by, event_id)
      values (?::date, ?, ?, ?)
          on conflict (cycle_date) do nothing
      """;

  /** Parameters: date, how many at most. Index: task_outcomes_to_learn. */
  private static final String TAKE =
      """
      with oldest as (
        select o.event_id
          from fleet.task_outcomes o
         where o.learned_on is null
         order by o.received_at
         limit ?
           for update skip locked
      )
      update fleet.task_outcomes o
         set learned_on = ?::date
        from oldest
       where o.event_id = oldest.event_id
      """;

  /** Parameter: date. Index: task_outcomes_learned. */
  private static final String ROUTING_OUTCOMES =
      """
      select r.*, fleet.success_confidence(r.successes, r.failures) as confidence
        from (select o.task_type, o.master,
                     count(*) filter (where o.succeeded) as successes,
                     count(*) filter (where not o.succeeded) as failures,
                     count(o.duration_ms) as timed,
                     coalesce(sum(o.duration_ms), 0)::bigint as total_duration_ms
                from fleet.task_outcomes o
               where o.learned_on = ?::date
                 and o.master is not null
               group by o.task_type, o.master) r
       order by r.task_type, r.master
      """;

  /** Parameter: date. Index: task_outcomes_learned. */
  private static final String RECURRING_FAILURES =
      """
      select o.task_type, o.error_type, count(*) as occurrences
        from fleet.task_outcomes o
       where o.learned_on = ?::date
         and not o.succeeded
         and o.error_type is not null
       group by o.task_type, o.error_type
      having count(*) > (select s.failure_limit from fleet.settings s)
       order by o.task_type, o.error_type
      """;

  /** Parameters: outcomes, patterns, date. */
  private static final String FINISH =
      """
      update fleet.learning_cycles set (outcomes, patterns) = (?, ?) where cycle_date = ?::date
      """;

  @Override
  public Outcome handle(Event event, HandlerContext context) throws SQLException {
    Payload payload = Payload.of(event);
    LocalDate date = date(event, payload);
    String day = date.toString();
    String cycleType = payload.text("cycle_type").orElse("daily");
    Connection connection = context.connection();
    if (Sql.update(connection, BEGIN, day, cycleType, event.source(), event.id()) == 0) {
      return Outcome.cancel("the learning cycle of " + date + " has been run");
    }
    int outcomes = Sql.update(connection, TAKE, MAX_OUTCOMES, day);
    List<Map<String, Object>> patterns = new ArrayList<>();
    patterns.addAll(Sql.rows(connection, ROUTING_OUTCOMES, row -> routingOutcome(date, row), day));
    patterns.addAll(
        Sql.rows(connection, RECURRING_FAILURES, row -> recurringFailure(date, row), day));
    for (Map<String, Object> pattern : patterns) {
      context.emit(
          EventDraft.of("learning.pattern_detected", "learning-cycle")
              .withPayload(Json.of(pattern)));
    }
    Sql.update(connection, FINISH, outcomes, patterns.size(), day);
    return Outcome.done();
  }

  private static LocalDate date(Event event, Payload payload) {
    Optional<String> date = payload.text("date");
    try {
      return date.map(LocalDate::parse)
          .orElseGet(() -> event.occurredAt().atOffset(ZoneOffset.UTC).toLocalDate());
    } catch (DateTimeException e) {
      throw new InvalidEventException(
          "payload.date", "must be a date such as 2025-12-01", date.orElse(""));
    }
  }

  private static Map<String, Object> routingOutcome(LocalDate date, ResultSet row)
      throws SQLException {
    String taskType = row.getString("task_type");
    String master = row.getString("master");
    long successes = row.getLong("successes");
    long failures = row.getLong("failures");
    long timed = row.getLong("timed");
    long totalDurationMs = row.getLong("total_duration_ms");
    Map<String, Object> pattern = new LinkedHashMap<>();
    pattern.put("pattern_type", "routing_outcome");
    pattern.put("cycle_date", date.toString());
    pattern.put("task_type", taskType);
    pattern.put("master", master);
    pattern.put("successes", successes);
    pattern.put("failures", failures);
    pattern.put("confidence", row.getDouble("confidence"));
    pattern.put("timed", timed);
    pattern.put("total_duration_ms", totalDurationMs);
    if (timed > 0) {
      pattern.put("mean_duration_ms", totalDurationMs / timed);
    }
    pattern.put(
        "insight",
        master
            + " did "
            + successes
            + " of "
            + (successes + failures)
            + " tasks of type "
            + taskType);
    return pattern;
  }

  private static Map<String, Object> recurringFailure(LocalDate date, ResultSet row)
      throws SQLException {
    String taskType = row.getString("task_type");
    String errorType = row.getString("error_type");
    long occurrences = row.getLong("occurrences");
    Map<String, Object> pattern = new LinkedHashMap<>();
    pattern.put("pattern_type", "recurring_failure");
    pattern.put("cycle_date", date.toString());
    pattern.put("task_type", taskType);
    pattern.put("error_type", errorType);
    pattern.put("occurrences", occurrences);
    pattern.put(
        "insight", occurrences + " tasks of type " + taskType + " failed with " + errorType);
    return pattern;
  }
}
