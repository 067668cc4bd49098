package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.handler.BatchContext;
import dev.cortex.events.handler.BatchHandler;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;

/**
 * Records how each task ended (task.completed, task.failed) in {@code fleet.task_outcomes}, for
 * {@link LearningCycle} to learn from.
 *
 * <p>The rules:
 *
 * <ul>
 *   <li>A task without a {@code payload.task_type} (or {@code type}) is of type unspecified.
 *   <li>Its master is {@code payload.master} (or {@code assigned_master}), else {@code
 *       metadata.master}; a task without one counts for no master.
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

  private record TaskOutcome(
      String eventId,
      Optional<String> taskId,
      String taskType,
      Optional<String> master,
      Optional<String> workerId,
      boolean isSuccess,
      OptionalLong durationMs,
      Optional<String> errorType,
      Instant finishedAt,
      Instant receivedAt) {

    static TaskOutcome of(Event event) {
      Payload payload = Payload.of(event);
      return new TaskOutcome(
          event.id(),
          payload.text("task_id", "id"),
          payload.text("task_type", "type").orElse("unspecified"),
          payload
              .text("master", "assigned_master")
              .or(() -> Payload.metadataOf(event).text("master")),
          payload.text("worker_id", "worker"),
          event.type().equals("task.completed"),
          payload.durationMs(),
          payload.text("error_type"),
          event.occurredAt(),
          event.receivedAt());
    }
  }

  @Override
  public void handle(List<Event> events, BatchContext context) throws SQLException {
    List<TaskOutcome> outcomes = events.stream().map(TaskOutcome::of).toList();
    Connection connection = context.connection();
    try (PreparedStatement statement = connection.prepareStatement(RECORD)) {
      statement.setArray(1, Column.texts(connection, outcomes, TaskOutcome::eventId));
      statement.setArray(2, Column.texts(connection, outcomes, o -> o.taskId().orElse(null)));
      statement.setArray(3, Column.texts(connection, outcomes, TaskOutcome::taskType));
      statement.setArray(4, Column.texts(connection, outcomes, o -> o.master().orElse(null)));
      statement.setArray(5, Column.texts(connection, outcomes, o -> o.workerId().orElse(null)));
      statement.setArray(6, Column.texts(connection, outcomes, TaskOutcome::isSuccess));
      statement.setArray(
          7,
          Column.texts(
              connection,
              outcomes,
              o -> o.durationMs().isPresent() ? o.durationMs().getAsLong() : null));
      statement.setArray(8, Column.texts(connection, outcomes, o -> o.errorType().orElse(null)));
      statement.setArray(9, Column.texts(connection, outcomes, TaskOutcome::finishedAt));
      statement.setArray(10, Column.texts(connection, outcomes, TaskOutcome::receivedAt));
      statement.executeUpdate();
    }
  }
}
