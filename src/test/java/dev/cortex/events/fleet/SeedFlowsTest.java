package dev.cortex.events.fleet;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Priority;
import java.sql.SQLException;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/**
 * The event flows that the document of the migration describes, step by step as it numbers them.
 */
@ExtendWith(PostgresExtension.class)
class SeedFlowsTest {
  private final TestFleet fleet;

  SeedFlowsTest(TestDatabase database) {
    this.fleet = new TestFleet(database);
  }

  @BeforeEach
  void start() throws SQLException, InterruptedException {
    fleet.clear();
    fleet.register();
  }

  @Test
  void example_1_worker_heartbeat_flow() throws Exception {
    // 1. Worker emits worker.heartbeat event
    String heartbeat =
        fleet.emit(
            EventDraft.of("worker.heartbeat", "w-1")
                .withPayload("{\"worker_id\": \"w-1\", \"status\": \"active\"}"));

    // 2. Event logged to coordination/events/worker-events.jsonl
    assertThat(fleet.rows("select line::jsonb ->> 'event_id' from fleet.worker_events"))
        .containsExactly(heartbeat);

    // 3. Event dispatcher triggers on-worker-heartbeat.sh handler
    fleet.handle();
    assertThat(fleet.rows("select outcome from cortex.audit where handler = 'worker-health'"))
        .containsExactly("done");

    // 4. Handler updates worker health in coordination/worker-health-metrics.jsonl
    assertThat(
            fleet.rows(
                "select concat_ws(' ', line::jsonb ->> 'worker_id', line::jsonb ->> 'status')"
                    + " from fleet.worker_health_metrics"))
        .containsExactly("w-1 active");
    assertThat(fleet.rows("select concat_ws(' ', worker_id, health) from fleet.workers"))
        .containsExactly("w-1 alive");

    // 5. Handler detects stale workers and emits system.health_alert event
    fleet.run("update fleet.worker_health set heard_at = heard_at - interval '5 minutes 1 second'");
    fleet.emit(EventDraft.of("worker.stale_check_requested", "every-minute"));
    fleet.handle();
    assertThat(
            fleet.rows(
                "select concat_ws(' ', payload ->> 'alert_type', payload ->> 'workers', payload ->> 'threshold_seconds')"
                    + " from cortex.event_log where type = 'system.health_alert'"))
        .containsExactly("stale_workers [\"w-1\"] 300");

    // 6. Alert handlers take appropriate action
    assertThat(fleet.rows("select concat_ws(' ', alert_type, severity) from fleet.alert_episodes"))
        .containsExactly("stale_workers high");
    assertThat(
            fleet.rows(
                "select concat_ws(' ', payload ->> 'worker_id', payload ->> 'reason')"
                    + " from cortex.event_log where type = 'worker.restart_requested'"))
        .containsExactly("w-1 stale");
  }

  @Test
  void example_2_learning_cycle_flow() throws Exception {
    for (int i = 0; i < 4; i++) {
      fleet.emit(
          EventDraft.of("task.completed", "w-1")
              .withPayload("{\"task_type\": \"build\", \"master\": \"dev\"}"));
    }
    fleet.handle();

    // 1. Scheduler emits learning.cycle_requested event
    String request =
        fleet.emit(
            EventDraft.of("learning.cycle_requested", "daily-learning-scheduler")
                .withPayload("{\"date\": \"2025-12-01\", \"cycle_type\": \"daily\"}"));

    // 2. Event logged to coordination/events/learning-events.jsonl
    assertThat(fleet.rows("select line::jsonb ->> 'event_id' from fleet.learning_events"))
        .containsExactly(request);

    // 3. Event dispatcher triggers on-learning-pattern.sh handler
    // 4. Handler processes patterns asynchronously
    fleet.handle();
    assertThat(fleet.rows("select concat_ws(' ', cycle_date, outcomes) from fleet.learning_cycles"))
        .containsExactly("2025-12-01 4");

    // 5. Handler emits learning.pattern_detected events for insights
    assertThat(
            fleet.rows(
                "select concat_ws(' ', pattern_type, task_type, master, successes, failures)"
                    + " from fleet.learning_patterns"))
        .containsExactly("routing_outcome build dev 4 0");

    // 6. Routing system updates based on pattern events
    assertThat(
            fleet.rows(
                "select concat_ws(' ', task_type, master, successes) from fleet.routing_model where preferred"))
        .containsExactly("build dev 4");
    assertThat(
            fleet.rows(
                "select payload ->> 'master' from cortex.event_log where type = 'learning.model_updated'"))
        .containsExactly("dev");
  }

  @Test
  void example_3_cleanup_flow() throws Exception {
    fleet.emit(EventDraft.of("worker.heartbeat", "w-1"));
    fleet.handle();
    fleet.run("update fleet.worker_health set heard_at = heard_at - interval '8 days'");

    // 1. Scheduler emits system.cleanup_needed event
    String needed = fleet.emit(EventDraft.of("system.cleanup_needed", "weekly-cleanup"));

    // 2. Event logged to coordination/events/system-events.jsonl
    assertThat(fleet.rows("select line::jsonb ->> 'event_id' from fleet.system_events"))
        .containsExactly(needed);

    // 3. Event dispatcher triggers on-cleanup-needed.sh handler
    // 4. Handler executes cleanup asynchronously
    fleet.handle();
    assertThat(fleet.rows("select worker_id from fleet.worker_health")).isEmpty();

    // 5. Handler emits system.cleanup_completed event when done
    assertThat(
            fleet.rows(
                "select causation_id from cortex.event_log where type = 'system.cleanup_completed'"))
        .containsExactly(needed);

    // 6. Dashboard updates reflect cleanup status
    assertThat(
            fleet.rows(
                "select line::jsonb ->> 'message' from fleet.dashboard_events where event_type = 'system.cleanup_completed'"))
        .containsExactly("1 expired rows removed");
  }

  @Test
  void a_failed_task_leads_to_a_pattern_an_alert_and_a_new_try() throws Exception {
    // 1. Four tasks fail with the same error, one after the other
    for (int i = 1; i <= 4; i++) {
      fleet.emit(EventDraft.of("task.created", "me").withPayload("{\"task_id\": \"t-" + i + "\"}"));
      fleet.emit(
          EventDraft.of("task.failed", "w-" + i)
              .withPriority(Priority.HIGH)
              .withPayload("{\"task_id\": \"t-" + i + "\", \"error_type\": \"timeout\"}"));
      fleet.handle();

      // 2. Each is recorded, and on the board
      assertThat(fleet.rows("select error_type from fleet.failures")).hasSize(i);
      assertThat(fleet.rows("select state from fleet.task_board where task_id = 't-" + i + "'"))
          .containsExactly("failed");

      // 3. The fourth makes a pattern, of which one alert tells
      assertThat(
              fleet.rows("select subject from fleet.alerts where alert_type = 'failure_pattern'"))
          .hasSize(i < 4 ? 0 : 1);
    }
    assertThat(fleet.rows("select occurrences from fleet.failure_patterns where is_pattern"))
        .containsExactly("4");
    assertThat(
            fleet.rows(
                "select message from fleet.dashboard_events where event_type = 'system.health_alert'"))
        .containsExactly("4 tasks failed with timeout within 3600 s");

    // 4. Each failure has a new task event, for later
    assertThat(
            fleet.rows(
                "select concat_ws(' ', correlation_id, payload ->> 'retry', run_at > received_at + interval '29 s')"
                    + " from cortex.event_log where type = 'task.created' and source = 'auto-fix' order by id"))
        .containsExactly("t-1 1 t", "t-2 1 t", "t-3 1 t", "t-4 1 t");

    // 5. When its time comes, the task is open again
    fleet.run("update cortex.deliveries set run_at = clock_timestamp() where run_at < 'infinity'");
    fleet.handle();
    assertThat(fleet.rows("select state from fleet.task_board"))
        .containsExactly("created", "created", "created", "created");
  }
}
