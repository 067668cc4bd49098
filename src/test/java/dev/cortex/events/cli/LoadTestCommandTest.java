package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.cli.TestCommandLine.Answer;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/** {@code cortex load-test} on a database with a real worker process, and without. */
@ExtendWith(PostgresExtension.class)
class LoadTestCommandTest {
  private static final Duration PATIENCE = Duration.ofSeconds(60);

  private final TestDatabase database;
  private final Path directory;
  private final List<Process> processes = new ArrayList<>();
  private TestCommandLine cortex;

  LoadTestCommandTest(TestDatabase database, @TempDir Path directory) throws SQLException {
    this.database = database;
    this.directory = directory;
    this.cortex = TestCommandLine.on(database);
  }

  @AfterEach
  void end_the_workers() throws Exception {
    for (Process process : processes) {
      process.destroyForcibly().waitFor();
    }
    run("update cortex.workers set stopped_at = now() where stopped_at is null");
    run("update cortex.handlers set paused_at = null");
  }

  @Test
  void a_simulated_fleet_is_handled_once_and_the_figures_say_so() throws Exception {
    worker();

    Answer answer = cortex.run("load-test", "--workers", "12", "--seconds", "3");

    assertThat(answer.status()).as(answer.out() + answer.err()).isZero();
    assertThat(answer.out())
        .contains("event system: active (evt_")
        .contains("event system   active (evt_")
        .containsPattern(Pattern.compile("handlers have answered within \\d+ ms: active\\)"))
        .containsPattern(Pattern.compile("emitted\\s+\\d+ events, [0-9.]+ a second"))
        .contains("worker-health")
        .contains("task-outcomes")
        .contains("As promised.");
    // By the database: 12 workers, of which each has started, ended and done at least two tasks.
    assertThat(
            number(
                "select count(distinct source) from cortex.events where source like 'load-test-%-worker-%'"))
        .isEqualTo(12);
    assertThat(
            number(
                "select count(*) from cortex.events where type = 'task.created' and source like 'load-test-%'"))
        .isBetween(24L, 48L);
    assertThat(number("select count(*) from fleet.task_outcomes"))
        .isEqualTo(
            number(
                "select count(*) from cortex.events where type in ('task.completed', 'task.failed')"));
  }

  @Test
  void without_a_worker_nothing_is_emitted_but_the_question() throws Exception {
    long before = number("select count(*) from cortex.events");

    Answer answer = cortex.run("load-test", "--workers", "2", "--seconds", "1", "--wait", "1");

    assertThat(answer.status()).isOne();
    assertThat(answer.out())
        .contains("event system   NOT active")
        .contains("NOT as promised: the event system was not active");
    assertThat(answer.err()).contains("is a worker running (`cortex worker`)?");
    assertThat(number("select count(*) from cortex.events")).isEqualTo(before + 1);
  }

  @Test
  void what_is_not_handled_in_time_fails_it_by_name() throws Exception {
    worker();
    run("update cortex.handlers set paused_at = now() where name = 'task-outcomes'");

    Answer answer = cortex.run("load-test", "--workers", "2", "--seconds", "1", "--wait", "2");

    assertThat(answer.status()).isOne();
    assertThat(answer.out())
        .containsPattern(Pattern.compile("NOT as promised: .*task-outcomes: \\d+ not finished"));
  }

  @Test
  void a_number_out_of_range_is_refused_with_the_rule_and_the_value() {
    assertThat(cortex.run("load-test", "--workers", "0"))
        .returns(64, Answer::status)
        .satisfies(
            answer -> assertThat(answer.err()).contains("--workers must be 1 to 1000, was 0"));
    assertThat(cortex.run("load-test", "--seconds", "3601").err())
        .contains("--seconds must be 1 to 3600, was 3601");
  }

  private void worker() throws Exception {
    processes.add(cortex.start(directory.resolve(processes.size() + ".log"), "worker"));
    await()
        .atMost(PATIENCE)
        .until(() -> number("select count(*) from cortex.workers where stopped_at is null") == 1);
  }

  private long number(String sql) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(sql)) {
      row.next();
      return row.getLong(1);
    }
  }

  private void run(String sql) throws SQLException {
    try (Connection connection = database.superuserAddress().dataSource().getConnection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }
}
