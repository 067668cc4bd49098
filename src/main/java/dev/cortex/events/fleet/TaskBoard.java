package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Json;
import dev.cortex.events.event.Priority;
import dev.cortex.events.fleet.AlertEpisodes.Trouble;
import dev.cortex.events.handler.BatchContext;
import dev.cortex.events.handler.BatchHandler;
import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * Keeps the task board and the worker pool: task.created puts a task on the board, task.assigned
 * makes it and its worker busy, task.completed, task.failed and worker.completed end it and free
 * the worker.
 *
 * <p>The rules:
 *
 * <ul>
 *   <li>The task is the one that {@link TaskFacts} tells, else the event's correlation id. An event
 *       without either is on no board.
 *   <li>A task is where its newest step says, by the time that the event gives; the view {@code
 *       fleet.task_board} says how steps of the same moment are told apart. {@code
 *       fleet.worker_pool} follows from it.
 *   <li>A created task whose {@code payload.priority}, else the event's, is high or critical raises
 *       one alert (urgent_task) of that priority.
 *   <li>task.assigned emits routing.decision_made when it names a master: with {@code
 *       payload.confidence}, else the model's confidence in the master, and {@code
 *       payload.routing_reason} (or {@code reason}), else "assigned".
 *   <li>An event received longer ago than {@code record_kept_for} (90 days) is not on the board.
 *       Which events are told of: {@link NewEvents}.
 * </ul>
 *
 * <p>Any order gives the same rows: of each task and step there is the newest event, by a total
 * order, and what follows from several steps is worked out from them under the lock of the task's
 * row ({@code fleet.tasks}). What is emitted depends on one event each. Rows are locked in the
 * order of tasks, then steps.
 */
final class TaskBoard implements BatchHandler {
  static final String NAME = "task-board";

  /**
   * Parameters: arrays with task and received. Locks: the tasks' rows, by task; whoever holds them
   * changes their steps.
   */
  private static final String LOCK_TASKS =
      """
      insert into fleet.tasks as t (task_id, received_at)
      select s.task_id, max(s.received_at::timestamptz)
        from unnest(?, ?) as s(task_id, received_at)
       cross join fleet.settings t
       where s.received_at::timestamptz > clock_timestamp() - t.record_kept_for
       group by s.task_id
       order by s.task_id
          on conflict (task_id) do update set received_at = greatest(t.received_at, excluded.received_at)
      """;

  /**
   * Where the tasks are now. Runs after {@link #RECORD}, and sees all steps of these tasks, which
   * nobody else changes. Parameter: tasks.
   */
  private static final String SETTLE =
      """
      update fleet.tasks t
         set state = b.state
        from fleet.task_board b
       where b.task_id = any (?)
         and t.task_id = b.task_id
         and t.state <> b.state
      """;

  /**
   * Parameters: arrays of equal length with task, step, happened, event id, received, task type,
   * priority, master, worker, error type. Locks: the steps' rows, by task and step.
   */
  private static final String RECORD =
      """
      with steps as (
        select distinct on (s.task_id, s.step)
               s.task_id, s.step, s.happened_at::timestamptz, s.event_id, s.received_at::timestamptz, s.task_type,
               s.priority, s.master, s.worker_id, s.error_type
          from unnest(?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
               as s(task_id, step, happened_at, event_id, received_at, task_type, priority, master, worker_id, error_type)
         cross join fleet.settings t
         where s.received_at::timestamptz > clock_timestamp() - t.record_kept_for
         order by s.task_id, s.step, s.happened_at::timestamptz desc, s.event_id collate "C" desc
      )
      insert into fleet.task_steps as t (
        task_id, step, happened_at, event_id, received_at, task_type, priority, master, worker_id, error_type)
      select s.* from steps s
       order by s.task_id, s.step
          on conflict (task_id, step) do update
         set (happened_at, event_id, received_at, task_type, priority, master, worker_id, error_type) =
             (excluded.happened_at, excluded.event_id, excluded.received_at, excluded.task_type, excluded.priority,
              excluded.master, excluded.worker_id, excluded.error_type)
       where (excluded.happened_at, excluded.event_id collate "C") > (t.happened_at, t.event_id collate "C")
      """;

  /** Parameters: task type, master. At most one row, null where there is no record. */
  private static final String MODEL_CONFIDENCE =
      """
      select round(fleet.success_confidence(s.successes, s.failures)::numeric, 4)
        from fleet.routing_statistics s
       where s.task_type = ?
         and s.master = ?
         and s.successes + s.failures > 0
      """;

  private record Step(Event event, String taskId, TaskFacts facts, Optional<String> priority) {

    static Optional<Step> of(Event event) {
      TaskFacts facts = TaskFacts.of(event);
      return facts
          .taskId()
          .or(event::correlationId)
          .map(task -> new Step(event, task, facts, Payload.of(event).shortText("priority")));
    }

    String name() {
      return switch (event.type()) {
        case "worker.completed" -> "worker_completed";
        default -> event.type().substring("task.".length());
      };
    }

    String eventId() {
      return event.id();
    }

    Instant happenedAt() {
      return facts.happenedAt();
    }

    Instant receivedAt() {
      return event.receivedAt();
    }

    String urgency() {
      return priority.map(text -> text.toLowerCase(Locale.ROOT)).orElse(event.priority().label());
    }
  }

  @Override
  public void handle(List<Event> events, BatchContext context) throws SQLException {
    List<Step> steps = events.stream().flatMap(event -> Step.of(event).stream()).toList();
    record(context.connection(), steps);
    tellUrgent(context, steps);
    Predicate<Event> toldOf = NewEvents.toldOf(context);
    for (Step step : steps) {
      if (step.name().equals("assigned")
          && step.facts().master().isPresent()
          && toldOf.test(step.event())) {
        context.emit(decision(context.connection(), step), step.event());
      }
    }
  }

  private static void record(Connection connection, List<Step> steps) throws SQLException {
    Sql.update(connection, LOCK_TASKS, Sql.columns(steps, Step::taskId, Step::receivedAt));
    recordSteps(connection, steps);
    Sql.update(connection, SETTLE, steps.stream().map(Step::taskId).distinct().toList());
  }

  private static void recordSteps(Connection connection, List<Step> steps) throws SQLException {
    Sql.update(
        connection,
        RECORD,
        Sql.columns(
            steps,
            Step::taskId,
            Step::name,
            Step::happenedAt,
            Step::eventId,
            Step::receivedAt,
            step -> step.facts().taskType(),
            Step::urgency,
            step -> step.facts().master(),
            step -> step.facts().workerId(),
            step -> step.facts().errorType()));
  }

  private static void tellUrgent(BatchContext context, List<Step> steps) throws SQLException {
    List<Trouble> urgent = new ArrayList<>();
    Predicate<Event> actedOn = NewEvents.actedOn(context);
    for (Step step : steps) {
      boolean isUrgent = step.urgency().equals("high") || step.urgency().equals("critical");
      if (step.name().equals("created") && isUrgent && actedOn.test(step.event())) {
        urgent.add(
            new Trouble(
                "urgent_task",
                step.taskId(),
                Priority.of(step.urgency()),
                "task of priority " + step.urgency() + " created: " + step.taskId(),
                Map.of("task_id", step.taskId(), "task_type", type(step)),
                step.event()));
      }
    }
    AlertEpisodes.see(context.connection(), context::emit, NAME, urgent);
  }

  private static String type(Step step) {
    return step.facts().taskType().orElse(TaskFacts.UNSPECIFIED);
  }

  private static EventDraft decision(Connection connection, Step step) throws SQLException {
    Payload payload = Payload.of(step.event());
    String master = step.facts().master().orElseThrow();
    Map<String, @Nullable Object> decision = new LinkedHashMap<>();
    decision.put("task_id", step.taskId());
    decision.put("task_type", type(step));
    decision.put("master", master);
    step.facts().workerId().ifPresent(worker -> decision.put("worker_id", worker));
    Optional<BigDecimal> confidence = Payload.readable(() -> payload.ratio("confidence"));
    if (confidence.isEmpty()) {
      confidence = modelConfidence(connection, type(step), master);
    }
    confidence.ifPresent(value -> decision.put("confidence", value));
    decision.put(
        "routing_reason", payload.shortText("routing_reason", "reason").orElse("assigned"));
    return EventDraft.of("routing.decision_made", NAME).withPayload(Json.of(decision));
  }

  private static Optional<BigDecimal> modelConfidence(
      Connection connection, String taskType, String master) throws SQLException {
    return Sql.rows(connection, MODEL_CONFIDENCE, row -> row.getBigDecimal(1), taskType, master)
        .stream()
        .findFirst();
  }
}
