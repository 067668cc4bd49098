package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Json;
import dev.cortex.events.handler.BatchContext;
import dev.cortex.events.handler.BatchHandler;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.OptionalLong;
import org.jspecify.annotations.Nullable;

/**
 * Records each learning.pattern_detected, adds what it counts to the routing statistics, and brings
 * the routing model in line.
 *
 * <p>The rules:
 *
 * <ul>
 *   <li>A pattern that names a {@code task_type} and a {@code master} counts {@code successes} and
 *       {@code failures} for that master; a single {@code success} or {@code outcome} of true,
 *       success, completed or false, failure, failed counts as one. Every other pattern is recorded
 *       only.
 *   <li>Its durations are {@code total_duration_ms} over {@code timed} tasks, else one duration as
 *       in {@link TaskOutcomes}.
 *   <li>A pattern counts once, however often it is replayed; one received longer ago than {@code
 *       record_kept_for} (90 days) not at all.
 *   <li>The model prefers for each type of task the master with the highest {@code
 *       fleet.success_confidence} among those with at least {@code minimum_evidence} (3) finished
 *       tasks of it; at equal confidence the one with more successes, then the first by name. When
 *       that is another one than before, learning.model_updated is emitted.
 * </ul>
 *
 * <p>Any order gives the same statistics and the same model: sums, and a choice that depends on the
 * sums only, made under the lock of the type's row after they are written. How many changes are
 * told of on the way depends on the order. Rows are locked in the order of types, then masters.
 */
final class LearnedPatterns implements BatchHandler {

  /** Parameter: types. Locks: their rows, by type; whoever holds them changes their statistics. */
  private static final String ADD_TYPES =
      """
      insert into fleet.routing_models (task_type)
      select distinct t.task_type from unnest(?) as t(task_type)
       order by t.task_type
          on conflict (task_type) do nothing
      """;

  private static final String LOCK_TYPES =
      """
      select from fleet.routing_models m where m.task_type = any (?) order by m.task_type for update
      """;

  /**
   * Parameters: arrays of equal length with event id, pattern type, task type, master, successes,
   * failures, timed, total duration in ms, received. Locks: the statistics' rows, by type and
   * master.
   */
  private static final String RECORD =
      """
      with fresh as (
        insert into fleet.patterns (
          event_id, pattern_type, task_type, master, successes, failures, timed, total_duration_ms, received_at)
        select p.event_id, p.pattern_type, p.task_type, p.master, p.successes::bigint, p.failures::bigint,
               p.timed::bigint, p.total_duration_ms::bigint, p.received_at::timestamptz
          from unnest(?, ?, ?, ?, ?, ?, ?, ?, ?)
               as p(event_id, pattern_type, task_type, master, successes, failures, timed, total_duration_ms,
                    received_at)
         cross join fleet.settings s
         where p.received_at::timestamptz > clock_timestamp() - s.record_kept_for
         order by p.event_id
            on conflict (event_id) do nothing
        returning *
      )
      insert into fleet.routing_statistics as s (task_type, master, successes, failures, timed, total_duration_ms)
      select f.task_type, f.master, sum(f.successes), sum(f.failures), sum(f.timed), sum(f.total_duration_ms)
        from fresh f
       where f.task_type is not null
         and f.master is not null
         and f.successes + f.failures > 0
       group by f.task_type, f.master
       order by f.task_type, f.master
          on conflict (task_type, master) do update
         set (successes, failures, timed, total_duration_ms) =
             (s.successes + excluded.successes, s.failures + excluded.failures, s.timed + excluded.timed,
              s.total_duration_ms + excluded.total_duration_ms)
      """;

  /**
   * Brings the model in line with the statistics of these types, whose rows are locked. Parameter:
   * types. Result: the types whose master has changed.
   */
  private static final String CHOOSE =
      """
      with best as (
        select distinct on (s.task_type) s.task_type, s.master, s.successes, s.failures, c.confidence
          from fleet.routing_statistics s
         cross join fleet.settings t
         cross join lateral fleet.success_confidence(s.successes, s.failures) as c(confidence)
         where s.task_type = any (?)
           and s.successes + s.failures >= t.minimum_evidence
         order by s.task_type, c.confidence desc, s.successes desc, s.master collate "C"
      ), chosen as (
        update fleet.routing_models m
           set master = b.master,
               confidence = b.confidence,
               changed_at = case when o.master is distinct from b.master then clock_timestamp() else o.changed_at end
          from best b
          join fleet.routing_models o on o.task_type = b.task_type
         where m.task_type = b.task_type
        returning b.*, o.master as previous_master
      )
      select c.* from chosen c where c.master is distinct from c.previous_master order by c.task_type
      """;

  private record Pattern(
      Event event,
      String type,
      Optional<String> taskType,
      Optional<String> master,
      long successes,
      long failures,
      long timed,
      long totalDurationMs) {

    static Pattern of(Event event) {
      Payload payload = Payload.of(event);
      Optional<Boolean> single = success(payload);
      OptionalLong duration = payload.durationMs();
      return new Pattern(
          event,
          payload.shortText("pattern_type", "pattern", "type").orElse("unspecified"),
          payload.shortText("task_type"),
          payload.shortText("master"),
          payload.count("successes").orElse(single.orElse(false) ? 1 : 0),
          payload.count("failures").orElse(single.orElse(true) ? 0 : 1),
          payload.count("timed").orElse(duration.isPresent() ? 1 : 0),
          payload.count("total_duration_ms").orElse(duration.orElse(0)));
    }

    private static Optional<Boolean> success(Payload payload) {
      return payload
          .shortText("success", "outcome")
          .flatMap(
              word ->
                  switch (word) {
                    case "true", "success", "completed" -> Optional.of(true);
                    case "false", "failure", "failed" -> Optional.of(false);
                    default -> Optional.empty();
                  });
    }

    String eventId() {
      return event.id();
    }

    Instant receivedAt() {
      return event.receivedAt();
    }

    boolean isCounted() {
      return taskType.isPresent() && master.isPresent() && successes + failures > 0;
    }
  }

  @Override
  public void handle(List<Event> events, BatchContext context) throws SQLException {
    List<Pattern> patterns = events.stream().map(Pattern::of).toList();
    Map<String, Event> causes = causes(patterns);
    List<String> types = List.copyOf(causes.keySet());
    Connection connection = context.connection();
    Sql.update(connection, ADD_TYPES, types);
    Sql.rows(connection, LOCK_TYPES, row -> true, types);
    record(connection, patterns);
    choose(types, causes, context);
  }

  /** The types of task that are counted, each with the last event that counts it. */
  private static Map<String, Event> causes(List<Pattern> patterns) {
    Map<String, Event> causes = new HashMap<>();
    for (Pattern pattern : patterns) {
      if (pattern.isCounted()) {
        causes.put(pattern.taskType().orElseThrow(), pattern.event());
      }
    }
    return causes;
  }

  private static void record(Connection connection, List<Pattern> patterns) throws SQLException {
    Sql.update(
        connection,
        RECORD,
        Sql.columns(
            patterns,
            Pattern::eventId,
            Pattern::type,
            Pattern::taskType,
            Pattern::master,
            Pattern::successes,
            Pattern::failures,
            Pattern::timed,
            Pattern::totalDurationMs,
            Pattern::receivedAt));
  }

  private record Choice(String taskType, EventDraft told) {}

  private static void choose(List<String> types, Map<String, Event> causes, BatchContext context)
      throws SQLException {
    List<Choice> changed =
        Sql.rows(
            context.connection(),
            CHOOSE,
            row -> new Choice(row.getString("task_type"), modelUpdated(row)),
            types);
    for (Choice choice : changed) {
      context.emit(choice.told(), Objects.requireNonNull(causes.get(choice.taskType())));
    }
  }

  private static EventDraft modelUpdated(ResultSet row) throws SQLException {
    Map<String, @Nullable Object> payload = new LinkedHashMap<>();
    payload.put("model", "routing");
    payload.put("task_type", row.getString("task_type"));
    payload.put("master", row.getString("master"));
    payload.put("previous_master", row.getString("previous_master"));
    payload.put("confidence", row.getDouble("confidence"));
    payload.put("successes", row.getLong("successes"));
    payload.put("failures", row.getLong("failures"));
    return EventDraft.of("learning.model_updated", "learned-patterns")
        .withPayload(Json.of(payload));
  }
}
