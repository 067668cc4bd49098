package dev.cortex.events.fleet;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Priority;
import dev.cortex.events.handler.HandlerDefinition;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** A replay, or an event of long ago, is recorded, and nothing is done for it. */
@ExtendWith(PostgresExtension.class)
class ReplayedFlowsTest {
  /** It is there to be repeated: it removes what has expired by now, and records that it has. */
  private static final String REPEATABLE = "cleanup";

  private static final Set<String> ACTIONS =
      Set.of(
          "daemon.start_refused",
          "system.health_alert",
          "system.observability_reported",
          "worker.restart_requested");

  private final TestFleet fleet;

  ReplayedFlowsTest(TestDatabase database) {
    this.fleet = new TestFleet(database);
  }

  private static List<String> handlers() {
    return FleetHandlers.all().stream()
        .map(HandlerDefinition::name)
        .filter(name -> !name.equals(REPEATABLE))
        .toList();
  }

  @BeforeEach
  void start() throws SQLException, InterruptedException {
    fleet.clear();
    fleet.register();
    fleet.run( // so that no new try comes while it is looked
        "update fleet.settings set fix_first_delay = '1 day', fix_longest_delay = '1 day'");
  }

  @AfterEach
  void settings_as_they_were() throws SQLException {
    fleet.run(
        "update fleet.settings set act_within = default, fix_first_delay = default, fix_longest_delay = default");
  }

  @Test
  void a_replay_to_any_handler_changes_no_row_and_emits_nothing() throws Exception {
    emitAll();
    Map<String, List<String>> before = everything();
    assertThat(before.get("episodes")).isNotEmpty();

    for (String handler : handlers()) {
      replay(handler);
      assertThat(everything()).as(handler).isEqualTo(before);
    }
  }

  @Test
  void a_replay_brings_lost_boards_back_and_calls_nobody() throws Exception {
    emitAll();
    Map<String, List<String>> before = everything();
    fleet.asSuperuser(
        "truncate fleet.tasks, fleet.task_steps, fleet.failures, fleet.failure_kinds, fleet.decisions,"
            + " fleet.scans, fleet.alerts, fleet.routing_statistics, fleet.patterns");

    for (String handler : handlers()) {
      replay(handler);
    }

    Map<String, List<String>> after = everything();
    for (String table :
        List.of(
            "tasks",
            "task_steps",
            "failures",
            "failure_kinds",
            "decisions",
            "scans",
            "alerts",
            "routing_statistics",
            "patterns",
            "events")) {
      assertThat(after.get(table)).as(table).isNotEmpty().isEqualTo(before.get(table));
    }
  }

  @Test
  void an_event_of_long_ago_is_recorded_and_not_acted_on() throws Exception {
    // Short for who handles them, and long for who receives them.
    fleet.run("update fleet.settings set act_within = '1 millisecond'");
    emitAll();

    assertThat(fleet.rows("select task_id from fleet.task_board")).isNotEmpty();
    assertThat(fleet.rows("select event_id from fleet.failures")).hasSize(5);
    assertThat(fleet.rows("select event_id from fleet.decisions")).isNotEmpty();
    assertThat(fleet.rows("select event_id from fleet.remediations")).hasSize(1);
    assertThat(fleet.rows("select alert_type from fleet.episodes")).isEmpty();
    assertThat(fleet.rows("select correlation_id from fleet.fixes")).isEmpty();
    assertThat(fleet.rows("select event_id from fleet.startups")).isEmpty();
    assertThat(fleet.rows("select distinct type from cortex.event_log where source <> 'test'"))
        .isNotEmpty()
        .doesNotContainAnyElementsOf(ACTIONS);
  }

  /** As an import that is delivered, or a back-fill of one. */
  @Test
  void history_is_recorded_and_not_acted_on() throws Exception {
    Instant longAgo = Instant.now().minus(Duration.ofDays(400));
    List<EventDraft> history = new ArrayList<>();
    for (EventDraft draft : drafts()) {
      history.add(draft.withOccurredAt(longAgo));
    }
    fleet.emitAll(history);
    fleet.handle();

    assertThat(fleet.rows("select event_id from fleet.failures")).hasSize(5);
    assertThat(fleet.rows("select event_id from fleet.scans")).hasSize(1);
    assertThat(fleet.rows("select alert_type from fleet.episodes")).isEmpty();
    assertThat(fleet.rows("select correlation_id from fleet.fixes")).isEmpty();
    assertThat(fleet.rows("select distinct type from cortex.event_log where source <> 'test'"))
        .doesNotContainAnyElementsOf(ACTIONS)
        .as("what it holds itself")
        .doesNotContain("routing.decision_made", "learning.pattern_detected");
  }

  @Test
  void an_assignment_of_long_ago_and_its_decision_count_once() throws Exception {
    Instant longAgo = Instant.now().minus(Duration.ofDays(400));
    String assignment = "{\"task_id\": \"t-1\", \"task_type\": \"build\", \"master\": \"m-1\"}";
    fleet.emit(draft("task.assigned", assignment).withOccurredAt(longAgo));
    fleet.emit(draft("routing.decision_made", assignment).withOccurredAt(longAgo));
    fleet.handle();

    assertThat(fleet.rows("select decisions from fleet.routing_statistics")).containsExactly("1");
    assertThat(fleet.rows("select state from fleet.task_board")).containsExactly("assigned");
  }

  /** Every event that a handler of the fleet does something for. */
  private void emitAll() throws Exception {
    fleet.emitAll(drafts());
    fleet.handle();
    fleet.emit(draft("learning.cycle_requested", "{}"));
    fleet.handle();
  }

  private static List<EventDraft> drafts() {
    List<EventDraft> drafts = new ArrayList<>();
    drafts.add(draft("task.created", "{\"task_id\": \"t-1\"}").withPriority(Priority.CRITICAL));
    drafts.add(
        draft(
            "task.assigned",
            "{\"task_id\": \"t-1\", \"master\": \"m-1\", \"worker_id\": \"w-1\", \"confidence\": 0.5}"));
    for (int i = 0; i < 5; i++) {
      drafts.add(draft("task.failed", "{\"task_id\": \"t-2\", \"error_type\": \"timeout\"}"));
    }
    for (int i = 0; i < 3; i++) {
      drafts.add(
          draft(
              "task.completed",
              "{\"task_id\": \"t-%d\", \"master\": \"m-1\", \"duration_ms\": 5}".formatted(3 + i)));
    }
    drafts.add(draft("worker.heartbeat", "{\"worker_id\": \"w-2\"}"));
    drafts.add(draft("worker.completed", "{\"worker_id\": \"w-1\", \"task_id\": \"t-1\"}"));
    for (int i = 0; i < 4; i++) {
      drafts.add(draft("worker.failed", "{\"worker_id\": \"w-3\"}"));
    }
    drafts.add(draft("security.scan_completed", "{\"target\": \"r\", \"critical\": 1}"));
    drafts.add(draft("worker.stale_check_requested", "{}"));
    drafts.add(draft("system.anomaly_check_requested", "{}"));
    drafts.add(draft("system.observability_check", "{}"));
    drafts.add(draft("system.cleanup_needed", "{}"));
    drafts.add(draft("system.daemon_start_requested", "{\"daemon\": \"coordinator\"}"));
    drafts.add(draft("daemon.started", "{\"disk_free_mb\": 1}"));
    drafts.add(draft("daemon.stopped", "{}"));
    return drafts;
  }

  private static EventDraft draft(String type, String payload) {
    return EventDraft.of(type, "test").withPayload(payload);
  }

  private void replay(String handler) throws Exception {
    for (String day : List.of("now() - interval '1 day'", "now()")) {
      fleet.rows(
          "select 1 from cortex.replay('test', day => ((%s) at time zone 'UTC')::date, handler => '%s', max_deliveries => 10000)"
              .formatted(day, handler));
    }
    fleet.handle();
  }

  /** All rows of the fleet, whatever they hold, and how many events of which type there are. */
  private Map<String, List<String>> everything() throws SQLException {
    Map<String, List<String>> everything = new LinkedHashMap<>();
    for (String table :
        fleet.rows("select tablename from pg_catalog.pg_tables where schemaname = 'fleet'")) {
      everything.put(
          table, fleet.rows("select t::text from fleet.%s t order by 1".formatted(table)));
    }
    everything.put(
        "events",
        fleet.rows(
            "select concat_ws(' ', type, count(*)) from cortex.event_log group by type order by type"));
    return everything;
  }
}
