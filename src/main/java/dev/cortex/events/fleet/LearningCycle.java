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
 *       on which the request was made. A day that has not begun anywhere is refused; any further
 *       request is cancelled, with the reason.
 *   <li>A cycle takes every outcome in {@code fleet.task_outcomes} that none has taken, in rounds:
 *       each takes the oldest 100,000 at most, and asks for the next one while there are more, up
 *       to the 25th. What is left then waits for the next day.
 *   <li>A round emits learning.pattern_detected for each type of task and master that it saw
 *       (pattern_type routing_outcome: successes, failures, durations in milliseconds) and for each
 *       type of task and error type that failed more often than {@code failure_limit} (3) in it
 *       (pattern_type recurring_failure: occurrences).
 * </ul>
 *
 * <p>Any order of requests and outcomes counts each outcome once: an outcome's row says which cycle
 * has taken it, so one that is recorded late is in the next cycle. Requests for the same day wait
 * for each other on the row of {@code fleet.learning_cycles}, which knows the rounds that were.
 */
final class LearningCycle implements EventHandler {
  static final String NAME = "learning-cycle";

  /** The longest durations of so many make a sum that a pattern may state ({@link Payload}). */
  private static final int MAX_OUTCOMES = 100_000;

  private static final int MAX_ROUNDS = 25;

  /** Of a round: two patterns of each outcome, if no two are of one kind, and the next round. */
  static final int MAX_EMITTED = 2 * MAX_OUTCOMES + 1;

  /** Parameters: date, type, requested by, event id. Result: no row when the day has its cycle. */
  private static final String BEGIN =
      """
      insert into fleet.learning_cycles (cycle_date, cycle_type, requested_by, event_id)
      values (?::date, ?, ?, ?)
          on conflict (cycle_date) do nothing
      """;

  /** Parameters: round, date, round. Result: no row when that round is not what is missing. */
  private static final String GO_ON =
      """
      update fleet.learning_cycles set rounds = ? where cycle_date = ?::date and rounds = ? - 1 and not complete
      """;

  /** Parameters: how many at most, date, round. Index: task_outcomes_to_learn. */
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
         set (learned_on, learned_round) = row(?::date, ?)
        from oldest
       where o.event_id = oldest.event_id
      """;

  /** Parameters: date, round. Index: task_outcomes_learned_in. */
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
                 and o.learned_round = ?
                 and o.master is not null
               group by o.task_type, o.master) r
       order by r.task_type, r.master
      """;

  /** Parameters: date, round. Index: task_outcomes_learned_in. */
  private static final String RECURRING_FAILURES =
      """
      select o.task_type, o.error_type, count(*) as occurrences
        from fleet.task_outcomes o
       where o.learned_on = ?::date
         and o.learned_round = ?
         and not o.succeeded
         and o.error_type is not null
       group by o.task_type, o.error_type
      having count(*) > (select s.failure_limit from fleet.settings s)
       order by o.task_type, o.error_type
      """;

  /** Parameters: outcomes, patterns, whether there is nothing left, date. */
  private static final String FINISH =
      """
      update fleet.learning_cycles c
         set (outcomes, patterns, complete) = (c.outcomes + ?, c.patterns + ?, ?)
       where c.cycle_date = ?::date
      """;

  private final int maxOutcomes;

  LearningCycle() {
    this(MAX_OUTCOMES);
  }

  /**
   * @param maxOutcomes that a round takes
   */
  LearningCycle(int maxOutcomes) {
    this.maxOutcomes = maxOutcomes;
  }

  private record Round(LocalDate date, String cycleType, int number) {
    String day() {
      return date.toString();
    }

    EventDraft next() {
      return EventDraft.of("learning.cycle_requested", NAME)
          .withPayload(
              Json.of(Map.of("date", day(), "cycle_type", cycleType, "round", number + 1)));
    }
  }

  @Override
  public Outcome handle(Event event, HandlerContext context) throws SQLException {
    Payload payload = Payload.of(event);
    int number = (int) Math.max(1, Math.min(payload.count("round").orElse(1), MAX_ROUNDS + 1));
    Round round =
        new Round(date(event, payload), payload.shortText("cycle_type").orElse("daily"), number);
    if (!begin(context.connection(), round, event)) {
      return Outcome.cancel("the learning cycle of " + round.date() + " has been run");
    }
    int outcomes = Sql.update(context.connection(), TAKE, maxOutcomes, round.day(), round.number());
    int patterns = emitPatterns(context, round);
    boolean isComplete = outcomes < maxOutcomes || round.number() >= MAX_ROUNDS;
    Sql.update(context.connection(), FINISH, outcomes, patterns, isComplete, round.day());
    if (!isComplete) {
      context.emit(round.next());
    }
    return Outcome.done();
  }

  private static boolean begin(Connection connection, Round round, Event event)
      throws SQLException {
    return 1
        == (round.number() == 1
            ? Sql.update(
                connection, BEGIN, round.day(), round.cycleType(), event.source(), event.id())
            : Sql.update(connection, GO_ON, round.number(), round.day(), round.number()));
  }

  private static int emitPatterns(HandlerContext context, Round round) throws SQLException {
    Connection connection = context.connection();
    List<Map<String, Object>> patterns = new ArrayList<>();
    patterns.addAll(
        Sql.rows(
            connection,
            ROUTING_OUTCOMES,
            row -> routingOutcome(round.date(), row),
            round.day(),
            round.number()));
    patterns.addAll(
        Sql.rows(
            connection,
            RECURRING_FAILURES,
            row -> recurringFailure(round.date(), row),
            round.day(),
            round.number()));
    for (Map<String, Object> pattern : patterns) {
      context.emit(EventDraft.of("learning.pattern_detected", NAME).withPayload(Json.of(pattern)));
    }
    return patterns.size();
  }

  private static LocalDate date(Event event, Payload payload) {
    Optional<String> text = payload.text("date");
    try {
      LocalDate date =
          text.map(LocalDate::parse)
              .orElseGet(() -> Occurrence.of(event).atOffset(ZoneOffset.UTC).toLocalDate());
      if (date.getYear() < 1 || date.isAfter(newestDay(event))) {
        throw new InvalidEventException(
            "payload.date", "must be a day that has begun", date.toString());
      }
      return date;
    } catch (DateTimeException e) {
      throw new InvalidEventException(
          "payload.date", "must be a date such as 2025-12-01", text.orElse(""));
    }
  }

  /** The day that it was, when the event was received, where days begin first. */
  private static LocalDate newestDay(Event event) {
    return event.receivedAt().atOffset(ZoneOffset.ofHours(14)).toLocalDate();
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
