package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/** Old scripts beside Java handlers, in a worker process. */
@ExtendWith(PostgresExtension.class)
class HybridTest {
  private static final Duration PATIENCE = Duration.ofMinutes(2);
  private static final String LOGGER =
      Path.of(System.getProperty("project.basedir", "."), "ops/shell/event-logger.sh")
          .toAbsolutePath()
          .normalize()
          .toString();

  private final TestDatabase database;
  private TestCommandLine cortex;
  private Path directory;
  private @Nullable Process worker;

  HybridTest(TestDatabase database) {
    this.database = database;
  }

  @BeforeEach
  void prepare(@TempDir Path parent) throws Exception {
    cortex = TestCommandLine.on(database);
    directory = Files.createDirectory(parent.toRealPath().resolve("handlers"));
    assertThat(cortex.run("worker", "--drain").status()).isZero();
  }

  @AfterEach
  void end() {
    if (worker != null) {
      worker.destroyForcibly().onExit().join();
    }
  }

  @Test
  void an_old_handler_runs_as_it_is_and_what_it_logs_names_its_cause() throws Exception {
    script(
        "on-security-alert.sh",
        """
        set -euo pipefail
        event_json=$(cat "$1")
        alert=$(%s --create "system.health_alert" "on-security-alert" "{\\"of\\": $(echo "$event_json" | jq .payload.cve)}")
        echo "$alert" | %s
        """
            .formatted(LOGGER, LOGGER));
    Files.writeString(
        directory.resolve("handlers.properties"), "environment = HOME, DATABASE_URL\n");
    start();
    awaitWorker();
    implement("vulnerabilities", "program");
    await()
        .atMost(PATIENCE)
        .until(
            () ->
                text("select mode from cortex.handlers where name = 'vulnerabilities'")
                    .equals("leased"));
    String id = emit("security.vulnerability_found", "{\"cve\": \"CVE-1\"}");
    await()
        .atMost(PATIENCE)
        .until(
            () ->
                number("select count(*) from cortex.events where source = 'on-security-alert'")
                    == 1);
    assertThat(
            text(
                "select causation_id || ' ' || causation_depth || ' ' || (payload ->> 'of') from cortex.events where source = 'on-security-alert'"))
        .isEqualTo(id + " 1 CVE-1");
  }

  @Test
  void a_handler_goes_from_java_to_its_script_and_back_and_no_event_is_lost_or_repeated()
      throws Exception {
    Path seen = directory.resolveSibling("seen");
    script("on-learning-pattern.sh", "jq -r .event_id \"$1\" >> " + seen + "\n");
    Files.writeString(
        directory.resolve("handlers.properties"), "on-learning-pattern = learned-patterns\n");
    String subscriptions =
        text(
            "select string_agg(pattern, ' ') from cortex.subscriptions s join cortex.handlers h using (handler_id) where h.name = 'learned-patterns'");
    start();
    emitPatterns(20);
    awaitDone(20);
    assertThat(seen).doesNotExist();

    assertThat(cortex.run("implement", "learned-patterns", "program", "--reason", "old").status())
        .isZero();
    int emitted = 20;
    while (!Files.exists(seen)) {
      emitPatterns(5);
      emitted += 5;
    }
    assertThat(cortex.run("implement", "learned-patterns", "java", "--reason", "new").status())
        .isZero();
    long before;
    do {
      before = Files.readAllLines(seen).size();
      emitPatterns(5);
      emitted += 5;
      awaitDone(emitted);
    } while (Files.readAllLines(seen).size() > before);

    List<String> byScript = Files.readAllLines(seen);
    assertThat(byScript).isNotEmpty().doesNotHaveDuplicates();
    assertThat(number("select count(distinct event) from cortex.attempts " + OF_HANDLER))
        .isEqualTo(emitted);
    assertThat(number("select count(*) from cortex.attempts " + OF_HANDLER)).isEqualTo(emitted);
    assertThat(
            text(
                "select string_agg(pattern, ' ') from cortex.subscriptions s join cortex.handlers h using (handler_id) where h.name = 'learned-patterns'"))
        .isEqualTo(subscriptions);
    assertThat(
            text(
                "select string_agg(reason, ' ' order by id) from cortex.operator_actions where action = 'implement' and subject ->> 'handler' = 'learned-patterns'"))
        .isEqualTo("old new");
  }

  @Test
  void a_script_whose_work_several_handlers_do_is_run_instead_of_them_or_not_at_all()
      throws Exception {
    Path seen = directory.resolveSibling("seen");
    script("on-task-failure.sh", "jq -r .payload.task_id \"$1\" >> " + seen + "\n");
    start();
    awaitWorker();
    fail("h-1");
    awaitBoth(1);
    assertThat(seen).doesNotExist();

    implement("on-task-failure", "program");
    fail("h-2");
    awaitBoth(2);
    assertThat(seen).hasContent("h-2");

    implement("on-task-failure", "java");
    fail("h-3");
    awaitBoth(3);
    assertThat(seen).hasContent("h-2");
    assertThat(
            text(
                "select string_agg(correlation_id, ' ' order by correlation_id) from fleet.fixes where correlation_id like 'h-%'"))
        .isEqualTo("h-1 h-3");
    assertThat(Files.readString(directory.resolveSibling("worker.log")))
        .contains("there is Java code too for on-task-failure: ");
  }

  @Test
  void java_is_refused_for_a_script_that_no_worker_has_java_code_for() throws Exception {
    text("insert into cortex.event_types (type) values ('deploy.wanted') returning type");
    script("on-deploy-wanted.sh", "exit 0\n");
    start();
    awaitWorker();
    TestCommandLine.Answer refused =
        cortex.run("implement", "on-deploy-wanted", "java", "--reason", "test");

    assertThat(refused.status()).isEqualTo(65);
    assertThat(refused.err()).contains("none has Java code called on-deploy-wanted");
    assertThat(
            number(
                "select count(*) from cortex.operator_actions where subject ->> 'handler' = 'on-deploy-wanted'"))
        .isZero();
  }

  private void fail(String task) throws SQLException {
    emit("task.failed", "{\"task_id\": \"%s\", \"error_type\": \"timeout\"}".formatted(task));
  }

  /** Until both sides have looked at so many failed tasks. */
  private void awaitBoth(int events) {
    await()
        .atMost(PATIENCE)
        .until(
            () ->
                number(
                        """
                        select count(*)
                          from cortex.attempts
                          join cortex.handlers using (handler_id)
                         where name in ('on-task-failure', 'auto-fix')
                           and outcome in ('done', 'cancel')
                        """)
                    == 2L * events);
  }

  private void implement(String handler, String implementation) {
    TestCommandLine.Answer answer =
        cortex.run("implement", handler, implementation, "--reason", "test");
    assertThat(answer.status()).as(answer.err()).isZero();
  }

  private void awaitWorker() {
    await()
        .atMost(PATIENCE)
        .until(() -> number("select count(*) from cortex.workers where stopped_at is null") == 1);
  }

  private static final String OF_HANDLER =
      "join cortex.handlers using (handler_id) where name = 'learned-patterns'";

  private void awaitDone(int events) {
    await()
        .atMost(PATIENCE)
        .until(
            () ->
                number(
                        "select count(*) from cortex.attempts "
                            + OF_HANDLER
                            + " and outcome = 'done'")
                    >= events);
  }

  private void emitPatterns(int events) throws SQLException {
    text(
        """
        select count(cortex.emit('learning.pattern_detected', 'test',
                 '{"task_type": "build", "master": "m", "successes": 1}'))
          from generate_series(1, %d)
        """
            .formatted(events));
  }

  private String emit(String type, String payload) throws SQLException {
    return text("select cortex.emit('%s', 'test', '%s')".formatted(type, payload));
  }

  private void script(String name, String text) throws Exception {
    Path file = Files.writeString(directory.resolve(name), "#!/usr/bin/env bash\n" + text);
    Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwxr-xr-x"));
  }

  private void start() throws Exception {
    Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwxr-xr-x"));
    worker =
        cortex.start(
            directory.resolveSibling("worker.log"), "worker", "--commands", directory.toString());
  }

  private long number(String query) throws SQLException {
    return Long.parseLong(text(query));
  }

  private String text(String query) throws SQLException {
    try (Connection connection = database.superuserAddress().dataSource().getConnection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(query)) {
      row.next();
      return String.valueOf(row.getString(1));
    }
  }
}
