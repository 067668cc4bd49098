package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.cli.TestCommandLine.Answer;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.sql.SQLException;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** What follows from failed tasks, as {@code cortex trace} draws it. */
@ExtendWith(PostgresExtension.class)
class FailureChainTest {
  private final TestCommandLine cortex;

  FailureChainTest(TestDatabase database) throws SQLException {
    this.cortex = TestCommandLine.on(database);
  }

  @BeforeEach
  void handlers_that_are_known() {
    handle();
  }

  @Test
  void a_failed_task_its_new_try_and_the_alert_of_its_pattern_are_one_tree() {
    fail("t-1");
    fail("t-2");
    String third = fail("t-3");
    handle();
    assertThat(drawn(third))
        .as("three of a kind are no pattern")
        .containsExactly("task.failed from w-1", "└─ task.created from auto-fix");

    String fourth = fail("t-4");
    handle();

    List<String> tree = drawn(fourth);
    assertThat(tree).hasSize(3).startsWith("task.failed from w-1");
    assertThat(tree.subList(1, 3))
        .map(line -> line.substring("├─ ".length()))
        .containsExactlyInAnyOrder(
            "task.created from auto-fix", "system.health_alert from failure-patterns");
    assertThat(cortex.run("trace", fourth).out())
        .contains("auto-fix: completed", "failure-patterns: completed", "health-alerts: completed");
  }

  private String fail(String task) {
    return cortex
        .run(
            "emit",
            "task.failed",
            "--source",
            "w-1",
            "--payload",
            "{\"task_id\": \"%s\", \"error_type\": \"timeout\"}".formatted(task))
        .out()
        .strip();
  }

  private void handle() {
    Answer answer = cortex.run("worker", "--drain");
    assertThat(answer.status()).as(answer.err()).isZero();
  }

  /** The events of a trace, without their ids, times and deliveries. */
  private List<String> drawn(String id) {
    Answer answer = cortex.run("trace", id);
    assertThat(answer.status()).as(answer.err()).isZero();
    return answer
        .out()
        .lines()
        .filter(line -> line.contains("  from "))
        .map(line -> line.replaceFirst("  evt_\\S+  from (\\S+)  .*", " from $1"))
        .toList();
  }
}
