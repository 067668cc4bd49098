package dev.cortex.events.fleet;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Json;
import dev.cortex.events.event.Priority;
import dev.cortex.events.fleet.AlertEpisodes.Trouble;
import dev.cortex.events.handler.BatchContext;
import dev.cortex.events.handler.BatchHandler;
import java.sql.SQLException;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;

/**
 * Has failed tasks tried again when their error is one that passes: for a task.failed a new
 * task.created is emitted for later.
 *
 * <p>The rules:
 *
 * <ul>
 *   <li>Tried again is what failed with one of {@code fix_errors} (timeout, connection_error,
 *       rate_limit) in {@code payload.error_type}, in whatever case; nothing else. And not what
 *       failed long ago: {@link NewEvents}.
 *   <li>The tasks of one correlation id (else of one task id, else of the failed event) are tried
 *       again {@code fix_limit} (3) times in all, whatever becomes of them. After that an alert
 *       (fix_limit_reached) of priority high says so, once.
 *   <li>The n-th new try is for {@code fix_first_delay} (30 seconds), doubled n - 1 times, but at
 *       most {@code fix_longest_delay} (15 minutes) after the failure was handled.
 *   <li>The new event has the payload of the failed one without what it says of the failure and of
 *       its worker, and with {@code retry_of} (the failed event), {@code retry} (n) and {@code
 *       retry_limit}. It belongs to the same correlation, or a worker that passes it on could go on
 *       for ever.
 * </ul>
 *
 * <p>Any order emits as many new tries: the row of the correlation counts them under its lock. Rows
 * are locked in the order of correlations. It emits what makes tasks that may fail again, so the
 * limit is also what ends a loop.
 */
final class AutoFix implements BatchHandler {
  static final String NAME = "auto-fix";

  private static final List<String> OF_THE_FAILURE =
      List.of(
          "error",
          "error_type",
          "error_message",
          "duration",
          "duration_ms",
          "duration_seconds",
          "execution_time",
          "worker_id",
          "worker",
          "status");

  private static final String SETTINGS =
      """
      select array(select lower(e) from unnest(s.fix_errors) e) as fix_errors, s.fix_limit from fleet.settings s
      """;

  /**
   * Takes one of the tries that a correlation has. Parameters: correlation, event id. No row: there
   * is none left. Locks: the correlation's row.
   */
  private static final String TAKE =
      """
      insert into fleet.fixes as f (correlation_id, tries, last_event_id, last_at)
      select ?, 1, ?, clock_timestamp()
        from fleet.settings s
       where s.fix_limit > 0
          on conflict (correlation_id) do update
         set (tries, last_event_id, last_at) = (f.tries + 1, excluded.last_event_id, excluded.last_at)
       where f.tries < (select s.fix_limit from fleet.settings s)
      returning f.tries,
                f.last_at + (select least(s.fix_first_delay * power(2, least(f.tries - 1, 20)), s.fix_longest_delay)
                               from fleet.settings s) as run_at
      """;

  private record Settings(List<String> errors, int limit) {}

  private record Try(int number, Instant runAt) {}

  private record Failure(Event event, String correlation, TaskFacts facts) {
    static Failure of(Event event) {
      TaskFacts facts = TaskFacts.of(event);
      return new Failure(event, event.correlationId().or(facts::taskId).orElse(event.id()), facts);
    }
  }

  @Override
  public void handle(List<Event> events, BatchContext context) throws SQLException {
    Settings settings =
        Sql.rows(
                context.connection(),
                SETTINGS,
                row -> new Settings(List.of((String[]) row.getArray(1).getArray()), row.getInt(2)))
            .get(0);
    List<Failure> failures =
        events.stream()
            .filter(NewEvents.actedOn(context))
            .map(Failure::of)
            .filter(f -> f.facts().errorType().filter(settings.errors()::contains).isPresent())
            .sorted(Comparator.comparing(Failure::correlation))
            .toList();
    List<Trouble> ended = new ArrayList<>();
    for (Failure failure : failures) {
      List<Try> taken = take(context, failure);
      for (Try next : taken) {
        context.emit(task(failure, next, settings.limit()), failure.event());
      }
      if (taken.isEmpty() && settings.limit() > 0) {
        ended.add(limitReached(failure, settings.limit()));
      }
    }
    AlertEpisodes.see(context.connection(), context::emit, NAME, ended);
  }

  private static List<Try> take(BatchContext context, Failure failure) throws SQLException {
    return Sql.rows(
        context.connection(),
        TAKE,
        row -> new Try(row.getInt(1), row.getObject(2, OffsetDateTime.class).toInstant()),
        failure.correlation(),
        failure.event().id());
  }

  private static EventDraft task(Failure failure, Try next, int limit) {
    ObjectNode payload = failure.event().payload().tree();
    payload.remove(OF_THE_FAILURE);
    payload.put("task_id", failure.facts().taskId().orElse(failure.correlation()));
    payload.put("retry_of", failure.event().id());
    payload.put("retry", next.number());
    payload.put("retry_limit", limit);
    EventDraft task =
        EventDraft.of("task.created", NAME)
            .withPayload(Json.of(payload))
            .withCorrelationId(failure.correlation())
            .withPriority(failure.event().priority())
            .withRunAt(next.runAt());
    Json metadata = failure.event().metadata();
    return metadata.equals(Json.empty()) ? task : task.withMetadata(metadata);
  }

  private static Trouble limitReached(Failure failure, int limit) {
    String error = failure.facts().errorType().orElseThrow();
    return new Trouble(
        "fix_limit_reached",
        failure.correlation(),
        Priority.HIGH,
        failure.correlation()
            + " failed with "
            + error
            + " and was tried again "
            + limit
            + " times",
        Map.of("error_type", error, "limit", limit),
        failure.event());
  }
}
