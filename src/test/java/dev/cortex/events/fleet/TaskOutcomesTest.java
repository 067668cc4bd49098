package dev.cortex.events.fleet;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import java.sql.SQLException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

@ExtendWith(PostgresExtension.class)
class TaskOutcomesTest {
  private static final Instant START = Instant.parse("2026-01-01T00:00:00Z");
  private static final String OUTCOMES =
      """
      select concat_ws(' ', task_id, task_type, master, succeeded, duration_ms, finished_at)
        from fleet.task_outcomes
       order by task_id, finished_at
      """;

  private final TestFleet fleet;

  TaskOutcomesTest(TestDatabase database) {
    this.fleet = new TestFleet(database);
  }

  @BeforeEach
  void start() throws SQLException, InterruptedException {
    fleet.clear();
    fleet.register();
  }

  /** A task that fails, and succeeds in the end, and whose end is heard of before its beginning. */
  @Test
  void interleaving_9_outcomes_in_any_order_and_at_once_give_the_same_rows() throws Exception {
    List<EventDraft> drafts = new ArrayList<>();
    for (int task = 0; task < 300; task++) {
      Instant moment = START.plusSeconds(60L * task);
      drafts.add(draft("task.created", task, moment));
      drafts.add(draft("task.failed", task, moment.plusSeconds(10)));
      drafts.add(draft("task.completed", task, moment.plusSeconds(20)));
    }
    for (EventDraft draft : drafts.subList(0, 6)) {
      fleet.emit(draft);
      fleet.handle();
    }
    fleet.emitAll(drafts.subList(6, drafts.size()));
    fleet.handle();
    List<String> inOrder = fleet.rows(OUTCOMES);
    assertThat(inOrder).hasSize(600);

    fleet.clear();
    Collections.shuffle(drafts, new Random(11));
    fleet.emitAll(drafts);
    fleet.handle(
        FleetHandlers.all().stream().map(definition -> definition.withMaxBatch(20)).toList());

    assertThat(fleet.rows(OUTCOMES)).isEqualTo(inOrder);
    assertThat(
            fleet.rows(
                "select count(*) from cortex.attempts where outcome <> 'done' or attempt > 1"))
        .containsExactly("0");
  }

  @Test
  void a_duration_of_more_than_115_days_is_refused_lest_a_sum_of_them_overflow() throws Exception {
    fleet.emit(lasting("10000000000"));
    fleet.emit(lasting("10000000001"));
    fleet.handle();

    assertThat(fleet.rows("select duration_ms from fleet.task_outcomes"))
        .containsExactly("10000000000");
    assertThat(fleet.rows("select distinct error from cortex.audit where outcome = 'dead'"))
        .singleElement()
        .asString()
        .endsWith("payload.duration_ms must be a duration of 0 to 10^10 ms, was \"10000000001\"");
    assertThat(
            fleet.rows(
                "select concat_ws(' ', sum(events), sum(timed)) from fleet.metrics where type = 'task.completed'"))
        .containsExactly("2 1");
  }

  private static EventDraft lasting(String ms) {
    return EventDraft.of("task.completed", "test").withPayload("{\"duration_ms\": " + ms + "}");
  }

  private static EventDraft draft(String type, int task, Instant moment) {
    return EventDraft.of(type, "test")
        .withPayload(
            "{\"task_id\": \"t-%03d\", \"task_type\": \"build\", \"master\": \"m-%d\", \"duration_ms\": %d}"
                .formatted(task, task % 3, task))
        .withOccurredAt(moment);
  }
}
