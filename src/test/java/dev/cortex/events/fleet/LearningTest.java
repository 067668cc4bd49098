package dev.cortex.events.fleet;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.handler.HandlerDefinition;
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
class LearningTest {
  private static final String STATISTICS =
      "select concat_ws(' ', task_type, master, successes, failures, timed, total_duration_ms)"
          + " from fleet.routing_statistics order by task_type, master";
  private static final String MODEL =
      "select concat_ws(' ', task_type, master) from fleet.routing_models order by task_type";

  private final TestFleet fleet;

  LearningTest(TestDatabase database) {
    this.fleet = new TestFleet(database);
  }

  @BeforeEach
  void start() throws SQLException, InterruptedException {
    fleet.clear();
    fleet.register();
  }

  @Test
  void a_cycle_turns_the_outcomes_of_tasks_into_patterns_statistics_and_a_model() throws Exception {
    for (int i = 0; i < 5; i++) {
      fleet.emit(task("task.completed", "build", "dev", "\"duration\": 2"));
      fleet.emit(task("task.failed", "build", "ops", "\"error_type\": \"timeout\""));
    }
    fleet.handle();
    fleet.emit(request("2025-12-01"));
    fleet.handle();

    assertThat(patterns())
        .containsExactly("routing_outcome dev", "routing_outcome ops", "recurring_failure");
    assertThat(fleet.rows(STATISTICS))
        .containsExactly("build dev 5 0 5 10000", "build ops 0 5 0 0");
    assertThat(fleet.rows(MODEL)).containsExactly("build dev");
    assertThat(
            fleet.rows(
                "select payload ->> 'master' from cortex.event_log where type = 'learning.model_updated'"))
        .last()
        .isEqualTo("dev");
    assertThat(fleet.rows("select concat_ws(' ', outcomes, patterns) from fleet.learning_cycles"))
        .containsExactly("10 3");
  }

  @Test
  void at_most_one_cycle_a_day_runs_whoever_asks_and_however_many_at_once() throws Exception {
    fleet.emit(task("task.completed", "build", "dev", "\"duration\": 2"));
    fleet.handle();
    for (int i = 0; i < 10; i++) {
      fleet.emit(request("2025-12-01"));
    }
    fleet.handle();

    assertThat(fleet.rows("select cycle_date from fleet.learning_cycles"))
        .containsExactly("2025-12-01");
    assertThat(patterns()).hasSize(1);
    assertThat(fleet.rows("select outcome from cortex.attempts where outcome = 'cancel'"))
        .hasSize(9);
  }

  @Test
  void a_cycle_has_no_trouble_with_more_kinds_of_tasks_than_a_handler_usually_emits()
      throws Exception {
    fleet.run(
        """
        insert into fleet.task_outcomes (event_id, task_type, master, succeeded, finished_at, received_at)
        select 'e-' || i, 'type-' || i, 'dev', true, now(), now() from generate_series(1, 10001) i
        """);
    fleet.emit(request("2025-12-01"));
    fleet.handle();

    assertThat(
            fleet.rows(
                "select concat_ws(' ', outcomes, patterns, complete) from fleet.learning_cycles"))
        .containsExactly("10001 10001 t");
    assertThat(fleet.rows("select count(*) from fleet.routing_statistics"))
        .containsExactly("10001");
  }

  @Test
  void the_schedule_and_whoever_else_asks_get_one_cycle_for_the_day() throws Exception {
    fleet.tick("daily-learning");
    fleet.emit(EventDraft.of("learning.cycle_requested", "an operator"));
    fleet.emit(EventDraft.of("learning.cycle_requested", "a program").withPayload("{}"));
    fleet.handle();

    assertThat(fleet.rows("select cycle_type from fleet.learning_cycles")).containsExactly("daily");
    assertThat(fleet.rows("select outcome from cortex.attempts where outcome = 'cancel'"))
        .hasSize(2);
  }

  @Test
  void a_tick_of_a_day_that_is_fired_again_is_a_repetition() throws Exception {
    fleet.tick("daily-learning");
    fleet.run("delete from cortex.fires where schedule = 'daily-learning'");
    fleet.tick("daily-learning");

    assertThat(
            fleet.rows(
                "select payload ->> 'cycle_type' from cortex.event_log where source = 'schedule:daily-learning'"))
        .containsExactly("daily");
  }

  @Test
  void each_outcome_is_learned_from_in_one_cycle() throws Exception {
    fleet.emit(task("task.completed", "build", "dev", "\"duration\": 2"));
    fleet.handle();
    fleet.emit(request("2025-12-01"));
    fleet.handle();
    fleet.emit(task("task.completed", "build", "dev", "\"duration_ms\": \"500\""));
    fleet.handle();
    fleet.emit(request("2025-12-02"));
    fleet.handle();

    assertThat(fleet.rows(STATISTICS)).containsExactly("build dev 2 0 2 2500");
  }

  @Test
  void interleaving_9_and_11_shuffled_patterns_give_the_same_statistics_and_the_same_model()
      throws Exception {
    List<EventDraft> patterns = new ArrayList<>();
    for (int i = 0; i < 2_000; i++) {
      int master = i % 5;
      patterns.add(
          EventDraft.of("learning.pattern_detected", "test")
              .withPayload(
                  "{\"task_type\": \"type-"
                      + i % 8
                      + "\", \"master\": \"m-"
                      + master
                      + "\", \"success\": "
                      + (i % 7 > master)
                      + "}"));
    }
    Collections.shuffle(patterns, new Random(11));
    fleet.emitAll(patterns);

    fleet.handle(FleetHandlers.all().stream().map(h -> h.withMaxBatch(50)).toList());

    assertThat(fleet.rows("select sum(successes + failures)::bigint from fleet.routing_statistics"))
        .containsExactly("2000");
    assertThat(fleet.rows(MODEL)).hasSize(8).allMatch(line -> line.endsWith(" m-0"));
    assertThat(
            fleet.rows(
                "select task_type from fleet.routing_models m join fleet.routing_statistics s"
                    + " using (task_type, master) where m.confidence"
                    + " is distinct from fleet.success_confidence(s.successes, s.failures)"))
        .isEmpty();
    assertThat(fleet.rows("select count(*) from cortex.attempts where attempt > 1"))
        .containsExactly("0");
  }

  @Test
  void a_date_that_is_none_is_dead_at_once_with_field_rule_and_value() throws Exception {
    fleet.emit(request("tomorrow"));
    fleet.handle();

    assertThat(
            fleet.rows(
                "select concat_ws(' ', outcome, attempt, reason, error) from cortex.audit where handler = 'learning-cycle'"))
        .singleElement()
        .asString()
        .startsWith("dead 1 invalid_event ")
        .endsWith("payload.date must be a date such as 2025-12-01, was \"tomorrow\"");
  }

  @Test
  void a_day_that_has_not_begun_anywhere_is_refused() throws Exception {
    fleet.emit(request("2099-12-31"));
    fleet.emit(
        EventDraft.of("learning.cycle_requested", "ahead")
            .withOccurredAt(Instant.parse("2099-01-01T00:00:00Z")));
    fleet.handle();

    assertThat(fleet.rows("select error from cortex.audit where outcome = 'dead'"))
        .singleElement()
        .asString()
        .endsWith("payload.date must be a day that has begun, was \"2099-12-31\"");
    assertThat(
            fleet.rows(
                "select (now() at time zone 'UTC')::date - cycle_date from fleet.learning_cycles"))
        .containsExactly("0");
  }

  @Test
  void a_cycle_goes_on_in_rounds_until_everything_is_learned_once() throws Exception {
    for (int i = 0; i < 8; i++) {
      fleet.emit(task("task.completed", "build", "dev", "\"duration_ms\": 10000000000"));
    }
    fleet.handle();
    fleet.emit(request("2025-12-01"));
    fleet.emit(request("2025-12-01").withPayload("{\"date\": \"2025-12-01\", \"round\": 3}"));
    fleet.handle(inRoundsOf(3));

    assertThat(
            fleet.rows(
                "select concat_ws(' ', outcomes, patterns, rounds, complete) from fleet.learning_cycles"))
        .containsExactly("8 3 3 t");
    assertThat(fleet.rows(STATISTICS)).containsExactly("build dev 8 0 8 80000000000");

    fleet.emit(request("2025-12-01").withPayload("{\"date\": \"2025-12-01\", \"round\": 4}"));
    fleet.handle(inRoundsOf(3));
    assertThat(fleet.rows("select rounds from fleet.learning_cycles")).containsExactly("3");
  }

  private static List<HandlerDefinition> inRoundsOf(int outcomes) {
    return FleetHandlers.all().stream()
        .map(
            one ->
                one.name().equals(LearningCycle.NAME)
                    ? HandlerDefinition.oneByOne(one.name(), new LearningCycle(outcomes))
                        .on("learning.cycle_requested")
                        .withMaxBatch(1)
                    : one)
        .toList();
  }

  private List<String> patterns() throws SQLException {
    return fleet.rows(
        "select concat_ws(' ', payload ->> 'pattern_type', payload ->> 'master')"
            + " from cortex.event_log where type = 'learning.pattern_detected' order by id");
  }

  private static EventDraft request(String date) {
    return EventDraft.of("learning.cycle_requested", "daily-learning-scheduler")
        .withPayload("{\"date\": \"" + date + "\", \"cycle_type\": \"daily\"}");
  }

  private static EventDraft task(String type, String taskType, String master, String more) {
    return EventDraft.of(type, "w-1")
        .withPayload(
            "{\"task_type\": \"" + taskType + "\", \"master\": \"" + master + "\", " + more + "}");
  }
}
