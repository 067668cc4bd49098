package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.handler.BatchContext;
import dev.cortex.events.handler.BatchHandler;
import java.sql.SQLException;
import java.util.List;
import java.util.OptionalLong;

/**
 * Records how each task ended (task.completed, task.failed) in {@code fleet.task_outcomes}, for
 * {@link LearningCycle} to learn from.
 *
 * <p>The rules:
 *
 * <ul>
 *   <li>Task, type, master and worker are what {@link TaskFacts} tells; a task without a type is of
 *       type unspecified, and one without a master counts for none.
 *   <li>Its duration is {@code payload.duration_ms}, else {@code duration_seconds}, {@code
 *       duration} or {@code execution_time} in seconds.
 *   <li>An outcome received longer ago than {@code record_kept_for} (90 days) is not recorded.
 * </ul>
 *
 * <p>Any order gives the same rows: one per event, whose content depends on nothing else.
 */
final class TaskOutcomes implements BatchHandler {

  /**
   * Parameters: arrays of equal length with event id, task, type, master, worker, succeeded,
   * duration in ms, error type, finished, received.
   */
  private static final String RECORD =
      """
      insert into fleet.task_outcomes (
        event_id, task_id, task_type, master, worker_id, succeeded, duration_ms, error_type, finished_at, received_at)
      select o.event_id, o.task_id, o.task_type, o.master, o.worker_id, o.succeeded::boolean, o.duration_ms::bigint,
             o.error_type, o.finished_at::timestamptz, o.received_at::timestamptz
        from unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
             as o(event_id, task_id, task_type, master, worker_id, succeeded, duration_ms, error_type, finished_at,
                  received_at)
       cross join fleet.settings s
       where o.received_at::timestamptz > clock_timestamp() - s.record_kept_for
       order by o.event_id
          on conflict (event_id) do nothing
      """;

  private record TaskOutcome(Event event, TaskFacts facts, OptionalLong durationMs) {

    static TaskOutcome of(Event event) {
      return new TaskOutcome(event, TaskFacts.of(event), Payload.of(event).durationMs());
    }

    String taskType() {
      return facts.taskType().orElse(TaskFacts.UNSPECIFIED);
    }

    boolean isSuccess() {
      return event.type().equals("task.completed");
    }
  }

  @Override
  public void handle(List<Event> events, BatchContext context) throws SQLException {
    List<TaskOutcome> outcomes = events.stream().map(TaskOutcome::of).toList();
    Sql.update(
        context.connection(),
        RECORD,
        Sql.columns(
            outcomes,
            outcome -> outcome.event().id(),
            outcome -> outcome.facts().taskId(),
            TaskOutcome::taskType,
            outcome -> outcome.facts().master(),
            outcome -> outcome.facts().workerId(),
            TaskOutcome::isSuccess,
            TaskOutcome::durationMs,
            outcome -> outcome.facts().errorType(),
            outcome -> Occurrence.of(outcome.event()),
            outcome -> outcome.event().receivedAt()));
  }
}
