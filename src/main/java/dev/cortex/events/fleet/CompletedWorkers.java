package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Json;
import dev.cortex.events.handler.BatchContext;
import dev.cortex.events.handler.BatchHandler;
import java.sql.SQLException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Emits learning.pattern_detected for each worker.completed, but not for a replay or history
 * ({@link NewEvents}).
 *
 * <p>The rules:
 *
 * <ul>
 *   <li>The pattern is of type worker_completed and says what the event says of worker, task, type
 *       of task, master, and duration in milliseconds.
 *   <li>It counts as no success of the master: the task's own end does, through the learning cycle.
 * </ul>
 *
 * <p>Any order emits the same: one pattern for each event, of nothing but the event.
 */
final class CompletedWorkers implements BatchHandler {
  static final String NAME = "completed-workers";

  @Override
  public void handle(List<Event> events, BatchContext context) throws SQLException {
    for (Event event : events.stream().filter(NewEvents.toldOf(context)).toList()) {
      context.emit(
          EventDraft.of("learning.pattern_detected", NAME).withPayload(Json.of(pattern(event))),
          event);
    }
  }

  private static Map<String, Object> pattern(Event event) {
    TaskFacts facts = TaskFacts.of(event);
    Map<String, Object> pattern = new LinkedHashMap<>();
    pattern.put("pattern_type", "worker_completed");
    pattern.put("worker_id", facts.workerId().orElse(event.source()));
    facts.taskId().or(event::correlationId).ifPresent(task -> pattern.put("task_id", task));
    facts.taskType().ifPresent(type -> pattern.put("task_type", type));
    facts.master().ifPresent(master -> pattern.put("master", master));
    Payload.of(event).durationMs().ifPresent(ms -> pattern.put("duration_ms", ms));
    return pattern;
  }
}
