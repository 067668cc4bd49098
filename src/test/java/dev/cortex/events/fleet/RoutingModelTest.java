package dev.cortex.events.fleet;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import java.sql.SQLException;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

@ExtendWith(PostgresExtension.class)
class RoutingModelTest {
  private final TestFleet fleet;

  RoutingModelTest(TestDatabase database) {
    this.fleet = new TestFleet(database);
  }

  @BeforeEach
  void start() throws SQLException, InterruptedException {
    fleet.clear();
    fleet.register();
  }

  @Test
  void the_model_names_the_best_master_of_a_type_with_its_evidence() throws Exception {
    for (int i = 0; i < 3; i++) {
      pattern("perfect", 1, 0);
    }
    pattern("proven", 95, 5);
    decision("routing.decision_made", "proven", "0.8");
    decision("routing.decision", "proven", "0.6");
    fleet.handle();

    assertThat(
            fleet.rows(
                "select concat_ws(' ', master, preferred, successes, failures, success_rate, confidence,"
                    + " mean_duration_ms, decisions, mean_stated_confidence)"
                    + " from fleet.routing_model where task_type = 'build' order by confidence desc"))
        .containsExactly(
            "proven t 95 5 0.9500 0.8882 20 2 0.7000", "perfect f 3 0 1.0000 0.4385 0");
  }

  @Test
  void a_confidence_beyond_1_breaks_a_rule_and_counts_nowhere() throws Exception {
    decision("routing.decision_made", "dev", "85");
    fleet.handle();

    assertThat(
            fleet.rows(
                "select concat_ws(' ', outcome, error) from cortex.audit where handler = 'routing-decisions'"))
        .singleElement()
        .asString()
        .startsWith("dead ")
        .endsWith("payload.confidence must be a number from 0 to 1, was \"85\"");
    assertThat(fleet.rows("select master from fleet.routing_statistics")).isEmpty();
  }

  private void pattern(String master, int successes, int failures) throws SQLException {
    fleet.emit(
        EventDraft.of("learning.pattern_detected", "test")
            .withPayload(
                ("{\"task_type\": \"build\", \"master\": \"%s\", \"successes\": %d, \"failures\": %d,"
                        + " \"timed\": %d, \"total_duration_ms\": %d}")
                    .formatted(
                        master,
                        successes,
                        failures,
                        successes > 1 ? 100 : 0,
                        successes > 1 ? 2000 : 0)));
  }

  private void decision(String type, String master, String confidence) throws SQLException {
    fleet.emit(
        EventDraft.of(type, "router")
            .withPayload(
                "{\"task_id\": \"t-1\", \"task_type\": \"build\", \"selected_master\": \"%s\", \"confidence\": %s}"
                    .formatted(master, confidence)));
  }
}
