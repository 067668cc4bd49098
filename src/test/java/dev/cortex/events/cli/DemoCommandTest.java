package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.database.EmbeddedPostgres;
import dev.cortex.events.demo.Demo;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
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
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.TestInstance.Lifecycle;
import org.junit.jupiter.api.io.TempDir;

/** {@code cortex demo} as a process: on real data, killed, run again, and broken on purpose. */
@TestInstance(Lifecycle.PER_CLASS)
class DemoCommandTest {
  private static final Duration PATIENCE = Duration.ofMinutes(4);

  private final Path parent;
  private final Path directory;
  private final TestCommandLine cortex = TestCommandLine.at("postgresql://nobody@127.0.0.1:1/no");
  private final List<Process> started = new ArrayList<>();

  DemoCommandTest(@TempDir Path parent) {
    this.parent = parent;
    this.directory = parent.resolve("a demo");
  }

  @BeforeEach
  void whoever_runs_the_server_may_enter() throws IOException {
    Files.setPosixFilePermissions(parent, PosixFilePermissions.fromString("rwxr-xr-x"));
  }

  @AfterEach
  void nothing_is_left_running() {
    started.forEach(Process::destroyForcibly);
    await().atMost(PATIENCE).until(() -> !EmbeddedPostgres.status(directory).isRunning());
  }

  @Test
  void killed_it_leaves_nothing_running_and_the_next_one_is_as_promised() throws Exception {
    Process killed = start("demo", "--seconds", "600", "--data-dir", directory.toString());
    await()
        .atMost(PATIENCE)
        .until(() -> output().contains("a simulated fleet") || !killed.isAlive());
    List<ProcessHandle> workers = killed.children().filter(DemoCommandTest::isJava).toList();
    assertThat(workers).as(output()).hasSize(2);
    killed.destroyForcibly().waitFor();
    await().atMost(PATIENCE).until(() -> workers.stream().noneMatch(ProcessHandle::isAlive));
    await().atMost(PATIENCE).until(() -> !EmbeddedPostgres.status(directory).isRunning());

    assertThat(run()).as(output()).isZero();
    assertThat(output())
        .contains("As promised")
        .contains("deliveries in its hands; started demo-worker-3 instead")
        .contains("./cortex --data-dir '" + directory + "' status");
    try (EmbeddedPostgres server = EmbeddedPostgres.open(directory)) {
      assertThat(ask(server, "select stale_after = '5 minutes' from fleet.settings"))
          .isEqualTo("t");
    }
  }

  @Test
  void effects_that_are_made_twice_are_told_and_end_it_with_1() throws Exception {
    try (EmbeddedPostgres server = EmbeddedPostgres.open(directory)) {
      assertThat(Demo.claim(server.address().dataSource())).isEmpty();
      run(
          server,
          """
          create function demo.again() returns trigger language plpgsql as $$
          begin
            if pg_trigger_depth() = 1 then
              insert into demo.effects (event_id, attempt) values (new.event_id, new.attempt);
            end if;
            return null;
          end $$;
          create trigger again after insert on demo.effects for each row execute function demo.again();
          """);
      try {
        assertThat(run()).as(output()).isEqualTo(1);
      } finally {
        run(server, "drop trigger again on demo.effects; drop function demo.again()");
      }
      assertThat(output()).contains("NOT as promised (duplicated: ");
    }
  }

  @Test
  void a_database_that_holds_other_data_is_left_as_it_is() throws Exception {
    Path real = parent.resolve("real");
    try (EmbeddedPostgres server = EmbeddedPostgres.open(real)) {
      run(server, "create table orders (id bigint)");
      Process demo = start("demo", "--seconds", "6", "--data-dir", real.toString());
      assertThat(demo.waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS)).isTrue();
      assertThat(demo.exitValue()).as(output()).isEqualTo(64);
      assertThat(output())
          .contains("must not mix with real data")
          .contains("public.orders")
          .contains("choose another --data-dir");
      assertThat(ask(server, "select to_regnamespace('cortex') is null")).isEqualTo("t");
      assertThat(ask(server, "select to_regnamespace('demo') is null")).isEqualTo("t");
    }
    await().atMost(PATIENCE).until(() -> !EmbeddedPostgres.status(real).isRunning());
  }

  /** The guard of the server is a child too, of a session of its own. */
  private static boolean isJava(ProcessHandle child) {
    return child.info().command().filter(program -> program.endsWith("java")).isPresent();
  }

  private int run() throws Exception {
    Process demo = start("demo", "--seconds", "6", "--data-dir", directory.toString());
    assertThat(demo.waitFor(PATIENCE.toSeconds(), TimeUnit.SECONDS)).as(output()).isTrue();
    return demo.exitValue();
  }

  private Process start(String... arguments) throws IOException {
    Process process = cortex.start(parent.resolve("log-" + started.size()), arguments);
    started.add(process);
    return process;
  }

  private String output() throws IOException {
    return Files.readString(parent.resolve("log-" + (started.size() - 1)));
  }

  private static void run(EmbeddedPostgres server, String sql) throws SQLException {
    try (Connection connection = server.address().dataSource().getConnection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private static String ask(EmbeddedPostgres server, String sql) throws SQLException {
    try (Connection connection = server.address().dataSource().getConnection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(sql)) {
      row.next();
      return row.getString(1);
    }
  }
}
