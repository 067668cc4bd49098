package dev.cortex.events.demo;

import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Json;
import dev.cortex.events.event.Priority;
import dev.cortex.events.outbox.Outbox;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.function.Consumer;

/**
 * Workers and tasks that do not exist: they beat, one falls silent, they do tasks, some of which
 * fail. Emits on one connection, a transaction a step, and says what it has committed.
 */
final class SimulatedFleet {
  private static final int FAILED_OF_TEN = 2;
  private static final List<String> TASK_TYPES =
      List.of("implementation", "security", "documentation");
  private static final List<String> MASTERS = List.of("development", "security", "inventory");
  private static final List<String> ERRORS = List.of("timeout", "connection_error", "syntax_error");

  private final Connection connection;
  private final Consumer<List<String>> committed;
  private final Crew crew;
  private final Outbox outbox = new Outbox();

  /** The same story every time. */
  private final Random random = new Random(7);

  private int tasks;

  /**
   * Who is simulated.
   *
   * @param source who asks for what no worker does
   * @param tasks what the names of the tasks begin with
   * @param prefix what the names of the workers begin with, before their number
   * @param first number of the first worker
   * @param last number of the last one
   * @param tries whether some tasks ask {@link DemoHandlers} to fail
   */
  record Crew(String source, String tasks, String prefix, int first, int last, boolean tries) {}

  /**
   * @param connection in a transaction of ours, not in auto-commit
   * @param committed gets the public ids of each transaction that was committed
   */
  SimulatedFleet(Connection connection, Consumer<List<String>> committed, Crew crew) {
    this.connection = connection;
    this.committed = committed;
    this.crew = crew;
  }

  void startWorkers() throws SQLException {
    List<EventDraft> drafts = new ArrayList<>();
    for (int worker = crew.first(); worker <= crew.last(); worker++) {
      drafts.add(fromWorker("worker.started", worker));
    }
    commit(drafts);
  }

  /** All of them, or all but the one that falls silent. */
  void beat(boolean isOneSilent) throws SQLException {
    List<EventDraft> drafts = new ArrayList<>();
    for (int worker = crew.first(); worker <= crew.last() - (isOneSilent ? 1 : 0); worker++) {
      drafts.add(fromWorker("worker.heartbeat", worker));
    }
    commit(drafts);
  }

  void stopWorkers() throws SQLException {
    List<EventDraft> drafts = new ArrayList<>();
    for (int worker = crew.first(); worker <= crew.last(); worker++) {
      drafts.add(fromWorker("worker.completed", worker));
    }
    commit(drafts);
  }

  /** Tasks from their creation to their end. */
  void doTasks(int count) throws SQLException {
    List<EventDraft> drafts = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      drafts.addAll(task(crew.first() + random.nextInt(crew.last() - crew.first() + 1)));
    }
    commit(drafts);
  }

  /** Tasks whose transaction is rolled back: they never existed, though their events had ids. */
  List<String> doTasksInVain(int count) throws SQLException {
    List<EventDraft> drafts = new ArrayList<>();
    for (int i = 0; i < count; i++) {
      drafts.addAll(task(crew.first() + random.nextInt(crew.last() - crew.first() + 1)));
    }
    List<String> ids = outbox.emitAll(connection, drafts);
    connection.rollback();
    return ids;
  }

  /** What one worker does, as it would: each event is a transaction. */
  void doTask(int worker) throws SQLException {
    for (EventDraft draft : task(worker)) {
      commit(List.of(draft));
    }
  }

  /** One worker says that it is alive. */
  void beat(int worker) throws SQLException {
    commit(List.of(fromWorker("worker.heartbeat", worker)));
  }

  /** One worker has looked for vulnerabilities and found a few. */
  void scan(int worker) throws SQLException {
    commit(
        List.of(
            EventDraft.of("security.scan_completed", name(worker))
                .withPayload(
                    Json.of(
                        Map.of(
                            "scan_id", crew.tasks() + "-scan-" + ++tasks,
                            "worker_id", name(worker),
                            "findings", Map.of("low", random.nextInt(4)))))));
  }

  void askForStaleCheck() throws SQLException {
    commit(List.of(EventDraft.of("worker.stale_check_requested", crew.source())));
  }

  /** Twice, since there is at most one cycle a day, whoever asks. */
  void askForLearning(String date) throws SQLException {
    EventDraft request =
        EventDraft.of("learning.cycle_requested", crew.source())
            .withPayload(Json.of(Map.of("date", date, "cycle_type", "daily")));
    commit(List.of(request, request));
  }

  void askForCleanup() throws SQLException {
    commit(
        List.of(
            EventDraft.of("system.cleanup_needed", crew.source())
                .withPayload(Json.of(Map.of("reason", "demo")))));
  }

  private List<EventDraft> task(int worker) {
    String id = crew.tasks() + "-task-" + ++tasks;
    boolean isFailed = random.nextInt(10) < FAILED_OF_TEN;
    Map<String, Object> payload = new LinkedHashMap<>();
    payload.put("task_id", id);
    payload.put("task_type", TASK_TYPES.get(random.nextInt(TASK_TYPES.size())));
    payload.put("master", MASTERS.get(random.nextInt(MASTERS.size())));
    payload.put("worker_id", name(worker));
    Json facts = Json.of(payload);
    payload.put("duration_ms", 200 + random.nextInt(5_000));
    if (isFailed) {
      payload.put("error_type", ERRORS.get(random.nextInt(ERRORS.size())));
    }
    if (crew.tries()) {
      failures(tasks).ifPresent(failures -> payload.put(DemoHandlers.FAILURES, failures));
    }
    Json end = Json.of(payload);
    return List.of(
        ofTask("task.created", crew.source(), id, facts),
        ofTask("task.assigned", crew.source(), id, facts),
        ofTask(isFailed ? "task.failed" : "task.completed", name(worker), id, end)
            .withPriority(isFailed ? Priority.HIGH : Priority.MEDIUM));
  }

  /** Every 11th task's handler fails once or twice, every 97th's for good. */
  private static Optional<String> failures(int task) {
    if (task % 97 == 0) {
      return Optional.of(Integer.toString(DemoHandlers.MAX_ATTEMPTS));
    }
    return task % 11 == 0 ? Optional.of(Integer.toString(1 + task % 2)) : Optional.empty();
  }

  private static EventDraft ofTask(String type, String source, String id, Json payload) {
    return EventDraft.of(type, source).withCorrelationId(id).withPayload(payload);
  }

  private EventDraft fromWorker(String type, int worker) {
    return EventDraft.of(type, name(worker))
        .withPayload(Json.of(Map.of("worker_id", name(worker), "status", "active")));
  }

  private String name(int worker) {
    return crew.prefix() + worker;
  }

  private void commit(List<EventDraft> drafts) throws SQLException {
    List<String> ids = outbox.emitAll(connection, drafts);
    connection.commit();
    committed.accept(ids);
  }
}
