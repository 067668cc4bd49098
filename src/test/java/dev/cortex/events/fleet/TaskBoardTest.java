package dev.cortex.events.fleet;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Priority;
import java.sql.SQLException;
import java.time.Instant;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

@ExtendWith(PostgresExtension.class)
class TaskBoardTest {
  private static final String BOARD =
      "select concat_ws(' ', task_id, state, master, worker_id) from fleet.task_board order by task_id";
  private static final String POOL =
      "select concat_ws(' ', worker_id, state, task_id) from fleet.worker_pool order by worker_id";
  private static final String ALERTS =
      "select concat_ws(' ', payload ->> 'alert_type', payload ->> 'subject', priority)"
          + " from cortex.event_log where type = 'system.health_alert' order by id";
  private static final String DECISIONS =
      "select line::jsonb - 'timestamp' from fleet.routing_decisions";

  private final TestFleet fleet;

  TaskBoardTest(TestDatabase database) {
    this.fleet = new TestFleet(database);
  }

  @BeforeEach
  void start() throws SQLException, InterruptedException {
    fleet.clear();
    fleet.register();
  }

  @Test
  void a_task_is_created_assigned_and_ended_and_its_worker_is_busy_meanwhile() throws Exception {
    fleet.emit(EventDraft.of("worker.started", "w-1"));
    emit("task.created", "\"task_type\": \"build\"");
    assertThat(fleet.rows(BOARD)).containsExactly("t-1 created");
    assertThat(fleet.rows(POOL)).containsExactly("w-1 free");

    emit("task.assigned", "\"worker_id\": \"w-1\", \"master\": \"dev\"");
    assertThat(fleet.rows(BOARD)).containsExactly("t-1 assigned dev w-1");
    assertThat(fleet.rows(POOL)).containsExactly("w-1 busy t-1");

    emit("task.completed", "\"worker_id\": \"w-1\"");
    assertThat(fleet.rows(BOARD)).containsExactly("t-1 completed dev w-1");
    assertThat(fleet.rows(POOL)).containsExactly("w-1 free");
  }

  /** Old scripts write the empty string for what they do not know, and prose for a reason. */
  @Test
  void an_assignment_counts_whatever_it_says_beside() throws Exception {
    emit(
        "task.assigned",
        "\"worker_id\": \"w-1\", \"master\": \"dev\", \"confidence\": 85, \"error_type\": {}, \"priority\": \"\","
            + " \"routing_reason\": \"%s\"".formatted("so ".repeat(100)));
    assertThat(fleet.rows(BOARD)).containsExactly("t-1 assigned dev w-1");
    assertThat(fleet.rows(POOL)).containsExactly("w-1 busy t-1");
    assertThat(fleet.rows("select master from fleet.decisions")).containsExactly("dev");

    emit("task.completed", "\"worker_id\": \"w-1\", \"master\": \"\"");
    assertThat(fleet.rows(BOARD)).containsExactly("t-1 completed dev w-1");
    assertThat(fleet.rows(POOL)).isEmpty();
  }

  @Test
  void worker_completed_closes_the_task_that_it_names_or_that_it_is_correlated_with()
      throws Exception {
    emit("task.assigned", "\"worker_id\": \"w-1\"");
    assertThat(fleet.rows(POOL)).containsExactly("w-1 busy t-1");

    fleet.emit(EventDraft.of("worker.completed", "w-1").withCorrelationId("t-1"));
    fleet.handle();

    assertThat(fleet.rows(BOARD)).containsExactly("t-1 completed w-1");
    assertThat(fleet.rows(POOL)).containsExactly("w-1 ended");
  }

  @Test
  void a_failed_task_stays_failed_when_its_worker_completes_and_is_open_when_created_again()
      throws Exception {
    emit("task.assigned", "\"worker_id\": \"w-1\"");
    emit("task.failed", "\"error_type\": \"syntax_error\"");
    fleet.emit(EventDraft.of("worker.completed", "w-1").withPayload("{\"task_id\": \"t-1\"}"));
    fleet.handle();
    assertThat(fleet.rows(BOARD)).containsExactly("t-1 failed w-1");

    emit("task.created", "\"retry\": 1");
    assertThat(fleet.rows("select state from fleet.task_board")).containsExactly("created");
  }

  @Test
  void a_step_that_is_heard_of_late_does_not_undo_a_later_one() throws Exception {
    emit("task.completed", "\"master\": \"dev\"");
    fleet.emit(
        EventDraft.of("task.created", "coordinator")
            .withPayload("{\"task_id\": \"t-1\"}")
            .withOccurredAt(Instant.now().minusSeconds(60)));
    fleet.handle();

    assertThat(fleet.rows(BOARD)).containsExactly("t-1 completed dev");
  }

  @Test
  void a_high_or_critical_task_raises_one_alert_and_a_medium_one_none() throws Exception {
    fleet.emit(created("t-high").withPriority(Priority.HIGH));
    fleet.emit(created("t-medium").withPriority(Priority.MEDIUM));
    fleet.emit(
        EventDraft.of("task.created", "coordinator")
            .withPayload("{\"task_id\": \"t-said\", \"priority\": \"critical\"}"));
    fleet.emit(
        EventDraft.of("task.created", "coordinator")
            .withPayload("{\"task_id\": \"t-shouted\", \"priority\": \"HIGH\"}"));
    fleet.handle();
    fleet.emit(created("t-high").withPriority(Priority.HIGH));
    fleet.handle();

    assertThat(fleet.rows(ALERTS))
        .containsExactlyInAnyOrder(
            "urgent_task t-high high", "urgent_task t-said critical", "urgent_task t-shouted high");
  }

  @Test
  void an_assignment_emits_the_routing_decision_with_what_it_says() throws Exception {
    emit("task.assigned", "\"master\": \"dev\", \"confidence\": 0.9, \"reason\": \"only one\"");

    assertThat(fleet.rows(DECISIONS))
        .containsExactly(
            "{\"master\": \"dev\", \"task_id\": \"t-1\", \"confidence\": 0.9, \"routing_reason\": \"only one\"}");
  }

  @Test
  void an_assignment_without_a_confidence_has_that_of_the_model() throws Exception {
    fleet.run(
        "insert into fleet.routing_statistics (task_type, master, successes, failures) values ('build', 'dev', 10, 0)");
    emit("task.assigned", "\"master\": \"dev\", \"task_type\": \"build\"");

    assertThat(fleet.rows("select confidence from fleet.routing_decisions"))
        .containsExactly("0.7225");
  }

  @Test
  void an_assignment_to_no_master_is_no_routing_decision() throws Exception {
    emit("task.assigned", "\"worker_id\": \"w-1\"");

    assertThat(fleet.rows(DECISIONS)).isEmpty();
  }

  @Test
  void worker_completed_emits_a_pattern_that_counts_as_no_success() throws Exception {
    fleet.emit(
        EventDraft.of("worker.completed", "w-1")
            .withPayload(
                "{\"task_id\": \"t-1\", \"task_type\": \"build\", \"master\": \"dev\", \"duration_seconds\": 2}"));
    fleet.handle();

    assertThat(
            fleet.rows(
                "select concat_ws(' ', pattern_type, task_type, master, details ->> 'duration_ms')"
                    + " from fleet.learning_patterns"))
        .containsExactly("worker_completed build dev 2000");
    assertThat(fleet.rows("select successes from fleet.routing_statistics")).isEmpty();
  }

  private static EventDraft created(String task) {
    return EventDraft.of("task.created", "coordinator")
        .withPayload("{\"task_id\": \"" + task + "\"}");
  }

  private void emit(String type, String more) throws Exception {
    fleet.emit(
        EventDraft.of(type, "coordinator").withPayload("{\"task_id\": \"t-1\", " + more + "}"));
    fleet.handle();
  }
}
