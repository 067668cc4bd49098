package dev.cortex.events.fleet;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.LeaseContext;
import dev.cortex.events.handler.Outcome;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Old scripts beside the handlers that do their work: an event is acted on by one side only. */
@ExtendWith(PostgresExtension.class)
class ScriptsTest {
  private static final String FIXED = "select correlation_id from fleet.fixes order by 1";
  private static final Map<String, String> TYPES =
      Map.of(
          "on-task-created", "task.created",
          "on-task-assigned", "task.assigned",
          "on-task-failure", "task.failed",
          "on-worker-failed", "worker.failed",
          "on-worker-heartbeat", "worker.heartbeat");

  private final TestDatabase database;
  private final TestFleet fleet;

  /** The tasks, or workers, of which a script has run. */
  private final List<String> ran = new CopyOnWriteArrayList<>();

  ScriptsTest(TestDatabase database) {
    this.database = database;
    this.fleet = new TestFleet(database);
  }

  @BeforeEach
  void start() throws SQLException, InterruptedException {
    fleet.clear();
    fleet.asSuperuser("truncate cortex.implementations");
    fleet.asSuperuser(
        "update cortex.handlers set implementation = 'java', retiring = null, retired_at = null");
    handle();
  }

  @Test
  void the_database_names_the_same_ones_and_handlers_that_there_are() throws SQLException {
    assertThat(fleet.rows("select script from fleet.scripts"))
        .containsExactlyInAnyOrderElementsOf(Scripts.NAMES);
    assertThat(fleet.rows("select distinct unnest(handlers) from fleet.scripts"))
        .isSubsetOf(FleetHandlers.all().stream().map(HandlerDefinition::name).toList());
  }

  @Test
  void java_acts_until_the_script_is_chosen_and_again_after_it() throws Exception {
    fail("first");
    handle();
    assertThat(fleet.rows(FIXED)).containsExactly("first");
    assertThat(ran).isEmpty();

    choose("on-task-failure", "program");
    fail("second");
    handle();
    assertThat(fleet.rows(FIXED)).containsExactly("first");
    assertThat(ran).containsExactly("second");
    assertThat(fleet.rows("select task_id from fleet.failures order by 1"))
        .as("recorded all the same")
        .containsExactly("first", "second");

    choose("on-task-failure", "java");
    fail("third");
    handle();
    assertThat(fleet.rows(FIXED)).containsExactly("first", "third");
    assertThat(ran).containsExactly("second");
  }

  @Test
  void what_was_chosen_when_an_event_was_received_counts_however_late_it_is_handled()
      throws Exception {
    fail("before");
    choose("on-task-failure", "program");
    fail("during");
    choose("on-task-failure", "java");
    fail("after");
    handle();

    assertThat(fleet.rows(FIXED)).containsExactly("after", "before");
    assertThat(ran).containsExactly("during");
  }

  @Test
  void each_type_is_left_to_its_script_and_no_other() throws Exception {
    for (String script : Scripts.NAMES) {
      choose(script, "program");
    }
    emitOfAll("theirs");
    handle();
    assertThat(ran).hasSize(5).containsOnly("theirs");
    assertThat(acted()).isEmpty();

    choose("on-worker-failed", "java");
    choose("on-task-created", "java");
    emitOfAll("some");
    handle();
    assertThat(acted())
        .containsExactlyInAnyOrder("system.health_alert", "worker.restart_requested");
    assertThat(ran).hasSize(5 + 3);
  }

  @Test
  void who_looks_for_silent_workers_is_chosen_with_the_script_of_heartbeats() throws Exception {
    emit("worker.heartbeat", "{\"task_id\": \"t\", \"worker_id\": \"v\"}");
    handle();
    fleet.run(
        "update fleet.worker_health set heard_at = heard_at - interval '10 minutes',"
            + " reported_at = reported_at - interval '10 minutes',"
            + " report_received_at = report_received_at - interval '10 minutes'");
    choose("on-worker-heartbeat", "program");
    emit("worker.stale_check_requested", "{}");
    handle();
    assertThat(acted()).isEmpty();

    choose("on-worker-heartbeat", "java");
    emit("worker.stale_check_requested", "{}");
    handle();
    assertThat(acted()).contains("system.health_alert");
  }

  @Test
  void a_replay_runs_the_script_that_is_chosen_now_and_makes_no_handler_act() throws Exception {
    fail("first");
    handle();
    choose("on-task-failure", "program");
    fleet.rows(
        "select 1 from cortex.replay('test', day => (now() at time zone 'UTC')::date, type => 'task.failed', max_deliveries => 1000)");
    handle();

    assertThat(ran).containsExactly("first");
    assertThat(fleet.rows("select tries from fleet.fixes")).containsExactly("1");
  }

  @Test
  void of_a_script_that_is_retired_the_handlers_take_over() throws Exception {
    choose("on-task-failure", "program");
    fail("first");
    handle();
    fleet.rows("select cortex.retire_handler('on-task-failure', 'drain', 'not needed')");
    fail("second");
    fleet.handle();

    assertThat(ran).containsExactly("first");
    assertThat(fleet.rows(FIXED)).containsExactly("second");
  }

  private void choose(String script, String implementation) throws SQLException {
    fleet.rows("select cortex.implement('%s', '%s', 'test')".formatted(script, implementation));
  }

  private void fail(String task) throws SQLException {
    emit("task.failed", "{\"task_id\": \"%s\", \"error_type\": \"timeout\"}".formatted(task));
  }

  private void emitOfAll(String task) throws SQLException {
    emit("task.created", "{\"task_id\": \"%s\", \"priority\": \"high\"}".formatted(task));
    emit("task.assigned", "{\"task_id\": \"%s\", \"master\": \"m\"}".formatted(task));
    emit("task.failed", "{\"task_id\": \"%s\", \"error_type\": \"timeout\"}".formatted(task));
    emit("worker.failed", "{\"task_id\": \"%s\", \"worker_id\": \"w\"}".formatted(task));
    emit("worker.heartbeat", "{\"task_id\": \"%s\", \"worker_id\": \"v\"}".formatted(task));
  }

  private void emit(String type, String payload) throws SQLException {
    fleet.emit(EventDraft.of(type, "test").withPayload(payload));
  }

  /** What the handlers have emitted. */
  private List<String> acted() throws SQLException {
    return fleet.rows("select type from cortex.event_log where source <> 'test'");
  }

  private void handle() throws SQLException, InterruptedException {
    List<HandlerDefinition> handlers = new ArrayList<>(FleetHandlers.all());
    List<HandlerDefinition> programs = new ArrayList<>();
    TYPES.forEach(
        (script, type) -> programs.add(HandlerDefinition.leased(script, this::run).on(type)));
    handlers.addAll(Scripts.inTurn(programs, database.address("cortex_worker").dataSource()));
    fleet.handle(handlers);
  }

  private Outcome run(Event event, LeaseContext context) {
    ran.add(event.payload().string("task_id").orElseThrow());
    return Outcome.done();
  }
}
