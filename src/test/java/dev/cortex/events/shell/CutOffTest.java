package dev.cortex.events.shell;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.DatabaseAddress;
import dev.cortex.events.database.DedicatedPostgres;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.spool.Postbox;
import dev.cortex.events.spool.Posted;
import dev.cortex.events.spool.Spool;
import dev.cortex.events.worker.Worker;
import dev.cortex.events.worker.WorkerOptions;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.postgresql.ds.PGSimpleDataSource;

/** The database goes away under ten shell scripts and a Java program that emit all the time. */
@ExtendWith(PostgresExtension.class)
class CutOffTest {
  private static final Path LOGGER =
      Path.of(System.getProperty("project.basedir", "."), "ops/shell/event-logger.sh")
          .toAbsolutePath()
          .normalize();
  private static final int SCRIPTS = 10;
  private static final Duration AWAY =
      Duration.ofSeconds(Integer.getInteger("cortex.test.cut.seconds", 6));
  private static final Duration PATIENCE = Duration.ofMinutes(3);

  /** Says each id once it is durable, until the file is gone. */
  private static final String SCRIPT =
      """
      set -euo pipefail
      source "$LOGGER"
      n=0
      while [ -e "$GO" ]; do
        n=$((n + 1))
        said=$(create_and_log_event task.failed "script-$1" "{\\"n\\": $n}" 2>/dev/null)
        said=${said#Event logged: }
        echo "${said%% *}"
      done
      """;

  private final DedicatedPostgres postgres;

  CutOffTest(DedicatedPostgres postgres) {
    this.postgres = postgres;
  }

  @Test
  void nothing_that_was_called_durable_is_lost_or_doubled(@TempDir Path directory)
      throws Exception {
    requirePrograms();
    execute("insert into cortex.event_types (type) values ('task.failed') on conflict do nothing");
    Path go = Files.createFile(directory.resolve("go"));
    Spool spool = Spool.at(directory.resolve("spool"));
    List<Process> scripts = new ArrayList<>();
    for (int n = 0; n < SCRIPTS; n++) {
      scripts.add(script(directory, go, n));
    }
    List<String> posted = Collections.synchronizedList(new ArrayList<>());
    AtomicInteger spooled = new AtomicInteger();
    AtomicBoolean isOver = new AtomicBoolean();
    try (CortexEvents cortex = CortexEvents.connect(address("cortex_worker"));
        Worker worker = cortex.work(List.of(), WorkerOptions.defaults().withSpool(spool))) {
      assertThat(worker.workerId()).isPositive();
      Thread poster = new Thread(() -> post(cortex.postbox(spool), posted, spooled, isOver));
      poster.start();
      await().atMost(PATIENCE).until(() -> count("source like 'script-%'") > SCRIPTS);

      postgres.stop();
      long until = System.nanoTime() + AWAY.toNanos();
      await().atMost(PATIENCE).until(() -> spool.status().files() > SCRIPTS && spooled.get() > 0);
      LockSupport.parkNanos(until - System.nanoTime()); // how long it is away is what is tried
      postgres.startAgain();

      await().atMost(PATIENCE).until(spool::isEmpty);
      Files.delete(go);
      isOver.set(true);
      poster.join();
      for (Process script : scripts) {
        assertThat(script.waitFor()).isZero();
      }
      await().atMost(PATIENCE).until(spool::isEmpty);
    }
    List<String> said = new ArrayList<>(posted);
    for (int n = 0; n < SCRIPTS; n++) {
      said.addAll(Files.readAllLines(directory.resolve("said-" + n), StandardCharsets.UTF_8));
    }
    System.out.printf(
        "cut off for %s: %d events, of which Java spooled %d%n", AWAY, said.size(), spooled.get());
    assertThat(strings("select event_id from cortex.events where type = 'task.failed'"))
        .doesNotHaveDuplicates()
        .containsExactlyInAnyOrderElementsOf(said);
    assertThat(
            strings(
                "select concat(source, ' ', payload ->> 'n') from cortex.events where type = 'task.failed'"))
        .doesNotHaveDuplicates();
    assertThat(strings("select reason from cortex.quarantined")).isEmpty();
  }

  /** The event is in the log before the wait begins, and comes there a second time by the spool. */
  @Test
  void a_commit_that_waits_for_a_standby_is_given_up_and_its_event_is_there_once(
      @TempDir Path directory) throws Exception {
    requirePrograms();
    execute("insert into cortex.event_types (type) values ('task.created') on conflict do nothing");
    configure("set synchronous_standby_names = 'nobody'", "nobody");
    try {
      Path said = directory.resolve("said");
      Path file =
          Files.writeString(
              directory.resolve("once.sh"),
              "source \"$LOGGER\"; create_and_log_event task.created waiting '{}'\n");
      ProcessBuilder builder =
          new ProcessBuilder("bash", file.toString())
              .redirectErrorStream(true)
              .redirectOutput(said.toFile());
      builder.environment().putAll(variables(directory));
      assertThat(builder.start().waitFor()).isZero();
      assertThat(Files.readString(said)).contains("did not answer within 15 s").contains("spooled");
    } finally {
      configure("reset synchronous_standby_names", "");
    }
    assertThat(count("source = 'waiting'")).isOne();
    try (Connection connection = address("cortex_emitter").dataSource().getConnection()) {
      assertThat(Spool.at(directory.resolve("spool")).drain(connection).delivered()).isOne();
    }
    assertThat(count("source = 'waiting'")).isOne();
  }

  private void configure(String change, String names) throws SQLException {
    execute("alter system " + change);
    execute("select pg_reload_conf()");
    await()
        .atMost(PATIENCE)
        .until(() -> strings("show synchronous_standby_names").equals(List.of(names)));
  }

  private static void requirePrograms() {
    for (String program : List.of("jq", "psql")) {
      assumeTrue(
          Stream.of(System.getenv("PATH").split(":"))
              .anyMatch(path -> Files.isExecutable(Path.of(path, program))),
          program + " is not installed");
    }
  }

  private Process script(Path directory, Path go, int number) throws Exception {
    Path file = Files.writeString(directory.resolve("emit.sh"), SCRIPT);
    ProcessBuilder builder =
        new ProcessBuilder("bash", file.toString(), Integer.toString(number))
            .redirectOutput(directory.resolve("said-" + number).toFile())
            .redirectError(ProcessBuilder.Redirect.INHERIT);
    builder.environment().putAll(variables(directory));
    builder.environment().put("GO", go.toString());
    return builder.start();
  }

  private Map<String, String> variables(Path directory) throws SQLException {
    DatabaseAddress address = address("cortex_emitter");
    PGSimpleDataSource login = address.dataSource().unwrap(PGSimpleDataSource.class);
    return Map.of(
        "LOGGER",
        LOGGER.toString(),
        "CORTEX_SPOOL_DIR",
        directory.resolve("spool").toString(),
        "DATABASE_URL",
        address.jdbcUrl() + "?user=" + login.getUser() + "&password=" + login.getPassword());
  }

  private static void post(
      Postbox postbox, List<String> posted, AtomicInteger spooled, AtomicBoolean isOver) {
    for (int n = 0; !isOver.get(); n++) {
      Posted one =
          postbox.post(EventDraft.of("task.failed", "java").withPayload("{\"n\": " + n + "}"));
      posted.add(one.eventId());
      if (one.isSpooled()) {
        spooled.incrementAndGet();
      }
      LockSupport.parkNanos(2_000_000); // keeps it from outrunning the scripts by far
    }
  }

  private DatabaseAddress address(String role) {
    return postgres.database().address(role);
  }

  private long count(String condition) throws SQLException {
    return Long.parseLong(strings("select count(*) from cortex.events where " + condition).get(0));
  }

  private void execute(String statement) throws SQLException {
    try (Connection connection =
            postgres.database().superuserAddress().dataSource().getConnection();
        Statement run = connection.createStatement()) {
      run.execute(statement);
    }
  }

  private List<String> strings(String query) throws SQLException {
    List<String> strings = new ArrayList<>();
    try (Connection connection =
            postgres.database().superuserAddress().dataSource().getConnection();
        Statement statement = connection.createStatement();
        ResultSet rows = statement.executeQuery(query)) {
      while (rows.next()) {
        strings.add(rows.getString(1));
      }
    }
    return strings;
  }
}
