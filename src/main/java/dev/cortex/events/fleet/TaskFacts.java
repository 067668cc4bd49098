package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import java.time.Instant;
import java.util.Locale;
import java.util.Optional;

/**
 * What an event of a task, or of a worker at a task, says of the task.
 *
 * <p>The task is {@code payload.task_id} (or {@code id}; of a worker, {@code current_task}), its
 * type {@code payload.task_type} (or, of a task, {@code type}), its worker {@code
 * payload.worker_id} (or {@code worker}). Its master is {@code payload.master} (or {@code
 * assigned_master}), else {@code metadata.master}. Its error type is in lower case.
 *
 * @param happenedAt its {@link Occurrence}
 */
record TaskFacts(
    Optional<String> taskId,
    Optional<String> taskType,
    Optional<String> master,
    Optional<String> workerId,
    Optional<String> errorType,
    Instant happenedAt) {

  static final String UNSPECIFIED = "unspecified";

  static TaskFacts of(Event event) {
    Payload payload = Payload.of(event);
    boolean isOfWorker = event.type().startsWith("worker.");
    return new TaskFacts(
        isOfWorker ? payload.shortText("task_id", "current_task") : payload.text("task_id", "id"),
        isOfWorker ? payload.shortText("task_type") : payload.shortText("task_type", "type"),
        payload
            .shortText("master", "assigned_master")
            .or(() -> Payload.metadataOf(event).shortText("master")),
        payload
            .text("worker_id", "worker")
            .or(() -> isOfWorker ? Optional.of(event.source()) : Optional.empty()),
        payload.shortText("error_type").map(type -> type.toLowerCase(Locale.ROOT)),
        Occurrence.of(event));
  }
}
