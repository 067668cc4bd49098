package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.net.Socket;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/** {@code cortex worker} as a process: how it works, shares and ends. */
@ExtendWith(PostgresExtension.class)
class WorkerCommandTest {
  private static final Duration PATIENCE = Duration.ofSeconds(60);

  /** Held by a test, it lets the handler of task outcomes wait in the middle of its work. */
  private static final String HOLD = "lock table fleet.task_outcomes in access exclusive mode";

  private static final String BUSY =
      "select count(distinct pid) from pg_locks where relation = 'fleet.task_outcomes'::regclass and not granted";

  private static final String DONE =
      "select count(*) from cortex.attempts join cortex.handlers using (handler_id)"
          + " where name = 'task-outcomes' and outcome = 'done'";

  private static final String OPEN =
      "select count(*) from cortex.deliveries join cortex.handlers using (handler_id)"
          + " where name = 'task-outcomes'";

  /** A check of the clock's that finds events uncounted waits for them, and that costs nothing. */
  private static final String CHARGED =
      "select count(*) from cortex.attempts where outcome not in ('done', 'snooze')";

  private final TestDatabase database;
  private final Path directory;
  private final List<Process> started = new ArrayList<>();
  private TestCommandLine cortex;
  private long doneBefore;

  WorkerCommandTest(TestDatabase database, @TempDir Path directory) {
    this.database = database;
    this.directory = directory;
  }

  @BeforeEach
  void the_handlers_are_known_and_have_nothing_to_do() throws Exception {
    cortex = TestCommandLine.on(database);
    drain();
    doneBefore = count(DONE);
  }

  @AfterEach
  void end_what_still_runs() {
    started.forEach(Process::destroyForcibly);
  }

  @Test
  void draining_ends_with_0_when_nothing_is_due() throws Exception {
    emit(500);
    drain();
    assertThat(count(OPEN)).isZero();
    assertDone(500);
  }

  @Test
  void told_to_stop_under_load_it_finishes_what_it_runs() throws Exception {
    int events = 20_000;
    emit(events);
    Process worker = start("worker", "--slots", "2");
    awaitMore(DONE, doneBefore);

    assertThat(stop(worker, 30)).isZero();

    assertNothingLost(events);
    drain();
    assertDone(events);
  }

  @Test
  void what_it_cannot_finish_in_the_grace_time_it_gives_back_uncharged() throws Exception {
    emit(100);
    try (Connection holder = hold()) {
      Process worker = start("worker", "--grace", "1");
      awaitMore(BUSY, 0);

      assertThat(stop(worker, 20)).isZero();

      assertThat(count(OPEN)).isEqualTo(100);
      holder.rollback();
    }
    assertNothingLost(100);
    drain();
    assertDone(100);
  }

  @Test
  void told_twice_it_gives_back_at_once() throws Exception {
    emit(100);
    try (Connection holder = hold()) {
      Process worker = start("worker", "--grace", "600");
      awaitMore(BUSY, 0);
      worker.destroy();
      // Until it has heard of the first one, a second one might be the same one.
      while (worker.isAlive() && !worker.waitFor(200, TimeUnit.MILLISECONDS)) {
        worker.destroy();
      }
      assertThat(worker.exitValue()).as(output()).isZero();
      holder.rollback();
    }
    assertNothingLost(100);
    drain();
    assertDone(100);
  }

  @Test
  void two_workers_share_the_work() throws Exception {
    int events = 20_000;
    Process first;
    Process second;
    try (Connection holder = hold()) {
      first = start("worker", "--slots", "1", "--name", "first");
      second = start("worker", "--slots", "1", "--name", "second");
      emit(events);
      await().atMost(PATIENCE).until(() -> count(BUSY) == 2);
      holder.rollback();
    }
    await().atMost(PATIENCE).until(() -> count(OPEN) == 0);
    assertThat(stop(first, 30)).isZero();
    assertThat(stop(second, 30)).isZero();

    assertDone(events);
    assertThat(
            count(
                "select count(distinct w.name) from cortex.attempts a join cortex.workers w using (worker_id)"
                    + " where w.name in ('first', 'second')"))
        .isEqualTo(2);
  }

  @Test
  void told_to_stop_before_the_database_is_there_it_ends_with_0() throws Exception {
    Process worker =
        TestCommandLine.at("postgresql://nobody@127.0.0.1:1/nowhere").start(log(), "worker");
    started.add(worker);
    await().atMost(PATIENCE).until(() -> output().contains("database"));
    assertThat(stop(worker, 30)).isZero();
  }

  @Test
  void told_to_stop_while_its_first_connection_is_not_answered_it_ends_with_0() throws Exception {
    try (ServerSocket silent = new ServerSocket(0, 5, InetAddress.getLoopbackAddress())) {
      String url = "postgresql://nobody@127.0.0.1:" + silent.getLocalPort() + "/nowhere";
      Process worker = TestCommandLine.at(url).start(log(), "worker");
      started.add(worker);
      try (Socket waiting = silent.accept()) {
        assertThat(stop(worker, 30)).as(output()).isZero();
      }
    }
  }

  @Test
  void the_end_of_its_input_stops_a_worker_that_is_told_to_heed_it() throws Exception {
    emit(100);
    Process worker = start("worker", "--until-input-ends");
    awaitMore(DONE, doneBefore);
    worker.getOutputStream().close();
    assertThat(worker.waitFor(30, TimeUnit.SECONDS)).as(output()).isTrue();
    assertThat(worker.exitValue()).as(output()).isZero();
    assertNothingLost(100);
    drain();
  }

  @Test
  void a_signal_ends_the_start_of_an_embedded_server() throws Exception {
    Files.setPosixFilePermissions(directory, PosixFilePermissions.fromString("rwxr-xr-x"));
    Path server = Files.createDirectory(directory.resolve("server"));
    Files.setPosixFilePermissions(server, PosixFilePermissions.fromString("rwx------"));
    try (FileChannel lock =
        FileChannel.open(
            server.resolve("start.lock"), StandardOpenOption.CREATE, StandardOpenOption.WRITE)) {
      assertThat(lock.lock().isValid()).isTrue();
      Process worker = start("worker", "--data-dir", server.toString());
      await().atMost(PATIENCE).until(() -> output().contains("making a PostgreSQL server"));
      assertThat(stop(worker, 30)).as(output()).isEqualTo(128 + 15);
    }
    assertThat(server.resolve("data")).doesNotExist();
  }

  @Test
  void programs_of_a_directory_handle_events_and_emit_with_their_cause() throws Exception {
    Path commands = Files.createDirectory(directory.resolve("commands"));
    Files.setPosixFilePermissions(commands, PosixFilePermissions.fromString("rwxr-xr-x"));
    Path program =
        Files.writeString(
            commands.resolve("on-task-completed.sh"),
            "#!/bin/sh\necho \"$CORTEX_SPOOL_DIR\" > "
                + directory.resolve("spool-of-program")
                + "\nexec "
                + String.join(
                    " ",
                    JavaProgram.command(
                        List.of("-XX:TieredStopAtLevel=1"),
                        "emit",
                        "system.cleanup_needed",
                        "--source",
                        "program"))
                + "\n");
    Files.setPosixFilePermissions(program, PosixFilePermissions.fromString("rwxr-xr-x"));
    Path settings =
        Files.writeString(
            commands.resolve("on-task-completed.properties"),
            "on = task.completed\nenvironment = DATABASE_URL\n");
    Files.setPosixFilePermissions(settings, PosixFilePermissions.fromString("rw-r--r--"));
    Path spool = directory.resolve("spool");
    drain("--commands", commands.toString());
    emit(1);

    drain("--commands", commands.toString(), "--spool-dir", spool.toString());

    assertThat(directory.resolve("spool-of-program")).hasContent(spool.toString());

    assertThat(
            count(
                "select count(*) from cortex.event_log e join cortex.event_log c on c.event_id = e.causation_id"
                    + " where e.source = 'program' and c.type = 'task.completed' and e.causation_depth = 1"))
        .isOne();
    Files.setPosixFilePermissions(program, PosixFilePermissions.fromString("rwxrwxr-x"));
    Process refused = start("worker", "--commands", commands.toString());
    assertThat(refused.waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS)).isTrue();
    assertThat(refused.exitValue()).isEqualTo(78);
    assertThat(output()).contains("on-task-completed.sh: must be writable by its owner only");
  }

  private void drain(String... options) throws Exception {
    List<String> arguments = new ArrayList<>(List.of("worker", "--drain"));
    arguments.addAll(List.of(options));
    Process worker = start(arguments.toArray(new String[0]));
    assertThat(worker.waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS)).as(output()).isTrue();
    assertThat(worker.exitValue()).as(output()).isZero();
  }

  private Process start(String... arguments) throws IOException {
    Process process = cortex.start(log(), arguments);
    started.add(process);
    return process;
  }

  /** SIGTERM, and the exit status. */
  private int stop(Process worker, int withinSeconds) throws InterruptedException, IOException {
    worker.destroy();
    assertThat(worker.waitFor(withinSeconds, TimeUnit.SECONDS)).as(output()).isTrue();
    return worker.exitValue();
  }

  private Path log() {
    return directory.resolve(started.size() + ".log");
  }

  private String output() throws IOException {
    return Files.readString(directory.resolve((started.size() - 1) + ".log"));
  }

  private Connection hold() throws SQLException {
    Connection holder = database.superuserAddress().dataSource().getConnection();
    holder.setAutoCommit(false);
    try (Statement statement = holder.createStatement()) {
      statement.execute(HOLD);
    }
    return holder;
  }

  private void emit(int events) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement()) {
      statement.execute(
          "insert into cortex.events (type, source, payload)"
              + " select 'task.completed', 'test', jsonb_build_object('n', n) from generate_series(1, "
              + events
              + ") n");
    }
  }

  private void assertDone(long events) throws SQLException {
    assertThat(count(DONE)).isEqualTo(doneBefore + events);
    assertThat(count(OPEN)).isZero();
    assertThat(count("select count(*) from fleet.task_outcomes")).isEqualTo(doneBefore + events);
    assertThat(count(CHARGED)).isZero();
  }

  /** Every event is either done or open, and none was charged an attempt that came to nothing. */
  private void assertNothingLost(long events) throws SQLException {
    assertThat(count(DONE) - doneBefore + count(OPEN)).isEqualTo(events);
    assertThat(count("select count(*) from cortex.deliveries where attempt > 0")).isZero();
    assertThat(count(CHARGED)).isZero();
    assertThat(count("select count(*) from fleet.task_outcomes")).isEqualTo(count(DONE));
  }

  private void awaitMore(String counted, long than) {
    await().atMost(PATIENCE).until(() -> count(counted) > than);
  }

  private long count(String sql) throws SQLException {
    try (Connection connection = database.superuserAddress().dataSource().getConnection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(sql)) {
      row.next();
      return row.getLong(1);
    }
  }
}
