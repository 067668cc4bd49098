package dev.cortex.events.fleet;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Priority;
import java.sql.SQLException;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/**
 * Whole flows, in order and one after the other, and shuffled and side by side in small batches:
 * they leave the same rows, and the same events come out.
 */
@ExtendWith(PostgresExtension.class)
class ShuffledFlowsTest {
  private static final int TASKS = 120;

  /** What has to be the same, without moments and ids that the database gives. */
  private static final Map<String, String> QUESTIONS = new LinkedHashMap<>();

  static {
    QUESTIONS.put(
        "tasks",
        "select concat_ws(' ', task_id, state, task_type, priority, master, worker_id, error_type, created_at,"
            + " assigned_at, completed_at, failed_at) from fleet.task_board order by task_id");
    QUESTIONS.put(
        "workers",
        "select concat_ws(' ', worker_id, state, task_id, health) from fleet.worker_pool order by worker_id");
    QUESTIONS.put(
        "outcomes",
        "select concat_ws(' ', event_id, task_id, master, succeeded, duration_ms, error_type)"
            + " from fleet.task_outcomes order by event_id");
    QUESTIONS.put(
        "failures",
        "select concat_ws(' ', event_id, error_type, failed_at) from fleet.failures order by event_id");
    QUESTIONS.put(
        "kinds",
        "select concat_ws(' ', error_type, failures) from fleet.failure_kinds order by error_type");
    QUESTIONS.put(
        "fixes", "select concat_ws(' ', correlation_id, tries) from fleet.fixes order by 1");
    QUESTIONS.put(
        "restarts",
        "select concat_ws(' ', worker_id, cardinality(requested_at)) from fleet.restarts order by 1");
    QUESTIONS.put(
        "routing",
        "select concat_ws(' ', task_type, master, decisions, stated, total_confidence)"
            + " from fleet.routing_statistics order by task_type, master");
    QUESTIONS.put(
        "posture",
        "select concat_ws(' ', target, scan_id, critical, high, medium, low, score)"
            + " from fleet.security_posture order by target");
    QUESTIONS.put(
        "remediations",
        "select concat_ws(' ', target, title, opened_at, closed_at) from fleet.remediations order by 1");
    QUESTIONS.put(
        "episodes",
        "select concat_ws(' ', alert_type, subject, ended_at) from fleet.episodes order by alert_type, subject");
    QUESTIONS.put(
        "metrics",
        "select concat_ws(' ', type, sum(events), sum(timed), sum(total_duration_ms), max(max_duration_ms))"
            + " from fleet.metrics group by type order by type");
    QUESTIONS.put(
        "events",
        "select concat_ws(' ', type, count(*)) from cortex.event_log group by type order by type");
  }

  private final Instant start = Instant.now().truncatedTo(ChronoUnit.SECONDS).minusSeconds(600);
  private final TestFleet fleet;

  ShuffledFlowsTest(TestDatabase database) {
    this.fleet = new TestFleet(database);
  }

  @BeforeEach
  void begin() throws SQLException, InterruptedException {
    fleet.clear();
    fleet.register();
  }

  @Test
  void interleaving_9_and_11_flows_in_any_order_and_at_once_leave_the_same_rows_and_emit_the_same()
      throws Exception {
    List<EventDraft> drafts = flows();
    for (int i = 0; i < 40; i++) {
      fleet.emit(drafts.get(i));
    }
    fleet.handle();
    fleet.emitAll(drafts.subList(40, drafts.size()));
    fleet.handle();
    Map<String, List<String>> inOrder = answers();
    assertThat(inOrder.get("tasks")).hasSize(TASKS);
    assertThat(inOrder.get("episodes"))
        .anyMatch(line -> line.startsWith("failure_pattern timeout"))
        .anyMatch(line -> line.startsWith("urgent_task"))
        .anyMatch(line -> line.startsWith("restart_limit_reached"))
        .anyMatch(line -> line.startsWith("fix_limit_reached"));

    for (int seed = 1; seed <= 2; seed++) {
      fleet.clear();
      Collections.shuffle(drafts, new Random(seed));
      fleet.emitAll(drafts);
      fleet.handle(FleetHandlers.all().stream().map(h -> h.withMaxBatch(7)).toList());

      assertThat(answers()).as("seed " + seed).isEqualTo(inOrder);
      assertThat(
              fleet.rows(
                  "select concat_ws(' ', handler, outcome, reason) from cortex.audit"
                      + " where outcome not in ('done', 'snooze') or attempt > 1"))
          .isEmpty();
    }
  }

  private Map<String, List<String>> answers() throws SQLException {
    Map<String, List<String>> answers = new LinkedHashMap<>();
    for (Map.Entry<String, String> question : QUESTIONS.entrySet()) {
      answers.put(question.getKey(), fleet.rows(question.getValue()));
    }
    return answers;
  }

  /** All steps of a task happen within one second, as a script's clock has it. */
  private List<EventDraft> flows() {
    List<EventDraft> drafts = new ArrayList<>();
    for (int task = 0; task < TASKS; task++) {
      Instant moment = start.plusSeconds(task);
      int worker = task % 12;
      Priority priority = task % 30 == 0 ? Priority.CRITICAL : Priority.MEDIUM;
      drafts.add(ofTask("created", task, "coordinator", moment).withPriority(priority));
      drafts.add(ofTask("assigned", task, "coordinator", moment));
      switch (task % 6) {
        case 0 -> drafts.add(failed(task, "timeout", moment));
        case 1 -> drafts.add(failed(task, "syntax_error", moment));
        case 2 -> {
          drafts.add(
              EventDraft.of("worker.completed", "w-" + worker)
                  .withEventId(id("completed", task))
                  .withPayload("{\"task_id\": \"t-%03d\"}".formatted(task))
                  .withOccurredAt(moment));
        }
        case 3 ->
            drafts.add(
                EventDraft.of("worker.failed", "w-" + worker)
                    .withEventId(id("lost", task))
                    .withOccurredAt(moment));
        default -> drafts.add(ofTask("completed", task, "w-" + worker, moment));
      }
    }
    for (int scan = 0; scan < 20; scan++) {
      drafts.add(
          EventDraft.of("security.scan_completed", "security-master")
              .withEventId(id("scan", scan))
              .withPayload(
                  "{\"scan_id\": \"s-%02d\", \"target\": \"r-%d\", \"findings\": {\"critical\": %d, \"low\": %d}}"
                      .formatted(scan, scan % 3, scan % 4 == 1 ? 1 : 0, scan))
              .withOccurredAt(start.plusSeconds(scan)));
    }
    return drafts;
  }

  /** Tasks of few correlations, so that they meet their limit. */
  private static EventDraft failed(int task, String errorType, Instant moment) {
    return EventDraft.of("task.failed", "w-" + task % 12)
        .withEventId(id("failed", task))
        .withCorrelationId("c-" + task % 4)
        .withPayload(
            "{\"task_id\": \"t-%03d\", \"task_type\": \"build\", \"error_type\": \"%s\"}"
                .formatted(task, errorType))
        .withOccurredAt(moment);
  }

  private static EventDraft ofTask(String step, int task, String source, Instant moment) {
    return EventDraft.of("task." + step, source)
        .withEventId(id(step, task))
        .withPayload(
            ("{\"task_id\": \"t-%03d\", \"task_type\": \"build\", \"master\": \"m-%d\", \"worker_id\": \"w-%d\","
                    + " \"confidence\": 0.5, \"duration_ms\": %d}")
                .formatted(task, task % 3, task % 12, task))
        .withOccurredAt(moment);
  }

  private static String id(String step, int number) {
    return "evt_20251201_000000_" + step + number;
  }
}
