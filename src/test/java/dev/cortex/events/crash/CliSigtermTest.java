package dev.cortex.events.crash;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.cli.Main;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import java.time.Duration;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/** {@code cortex worker}, asked to end while it is at work. */
@ExtendWith(PostgresExtension.class)
class CliSigtermTest {
  private static final Duration PATIENCE = Duration.ofMinutes(2);

  private static final String CHARGED =
      "select count(*) from cortex.attempts where (outcome, attempt) <> ('done', 1)";

  private static final String VANISHED = "select count(*) from cortex.workers where vanished";

  private final CrashDatabase database;

  CliSigtermTest(TestDatabase database) throws SQLException {
    this.database = CrashDatabase.prepare(database);
  }

  @Test
  void the_command_line_exits_with_0_under_load(@TempDir Path directory) throws Exception {
    database.run(
        "create schema if not exists demo;"
            + " create table if not exists demo.effects (event_id text not null, attempt integer not null);"
            + " grant usage on schema demo to cortex_worker; grant all on demo.effects to cortex_worker");
    Process worker = commandLine(directory.resolve("first.log"));
    await()
        .atMost(PATIENCE)
        .until(
            () ->
                database.count("select count(*) from cortex.handlers where name = 'demo-effects'")
                    == 1);
    database.run(
        """
        insert into cortex.events (type, source, payload)
        select 'task.completed', 'sql', jsonb_build_object('task_id', 't-' || n) from generate_series(1, 4000) n
        """);
    await().atMost(PATIENCE).until(() -> database.count("select count(*) from demo.effects") > 0);
    worker.destroy();
    assertThat(worker.onExit().join().exitValue()).as(log(directory, "first.log")).isZero();
    assertThat(database.count("select count(*) from cortex.deliveries"))
        .as("left for the next worker")
        .isPositive();
    assertThat(database.count(CHARGED)).as("attempts that were charged").isZero();
    assertThat(database.count(VANISHED)).isZero();

    Process next = commandLine(directory.resolve("next.log"));
    database.awaitDrained();
    next.destroy();
    assertThat(next.onExit().join().exitValue()).as(log(directory, "next.log")).isZero();
    assertThat(database.count("select count(*) from demo.effects")).isEqualTo(4000);
    assertThat(database.count("select count(distinct event_id) from demo.effects")).isEqualTo(4000);
    assertThat(database.count(VANISHED)).isZero();
    assertThat(database.count("select count(*) from cortex.workers where stopped_at is null"))
        .isZero();
  }

  private Process commandLine(Path log) throws Exception {
    ProcessBuilder builder = WorkerProcess.jvm(Main.class, "worker", "--demo-handlers");
    builder.environment().put("DATABASE_URL", database.url("cortex_worker"));
    return builder.redirectErrorStream(true).redirectOutput(log.toFile()).start();
  }

  private static String log(Path directory, String name) throws Exception {
    return Files.readString(directory.resolve(name));
  }
}
