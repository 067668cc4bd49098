package dev.cortex.events.archive;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.outbox.ImportOptions;
import dev.cortex.events.outbox.Importer;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.postgresql.ds.PGSimpleDataSource;

/** A run is killed with kill -9, and the next one finishes the work. */
@ExtendWith(PostgresExtension.class)
@Timeout(400)
class ArchiveCrashTest {
  private static final int KILLED = 137;

  private final TestDatabase database;
  @TempDir private Path directory;

  ArchiveCrashTest(TestDatabase database) {
    this.database = database;
  }

  @Test
  void killed_before_any_of_its_steps_the_next_run_finishes_and_nothing_is_lost() throws Exception {
    try (TestLog log = new TestLog(database)) {
      List<String> before = oldLog(log, "2025_01", 300);
      int kills = 0;
      while (run(kills + 1) == KILLED) {
        kills++;
        assertThat(kills).isLessThan(100);
      }
      assertThat(kills).isGreaterThan(5);
      assertThatAllIsArchived(log, before);
    }
  }

  @Test
  void killed_at_any_moment_the_next_run_finishes_and_nothing_is_lost() throws Exception {
    try (TestLog log = new TestLog(database)) {
      List<String> before = oldLog(log, "2025_03", 20_000);
      for (int round = 0; round < 4; round++) {
        Process process = start(0);
        if (!process.waitFor(
            ThreadLocalRandom.current().nextLong(400, 2_500), TimeUnit.MILLISECONDS)) {
          process.destroyForcibly().waitFor();
        }
      }
      assertThat(run(0)).isZero();
      assertThatAllIsArchived(log, before);
    }
  }

  /** A month of the log with deliveries and attempts, and a type that is kept for less. */
  private static List<String> oldLog(TestLog log, String month, int events) throws SQLException {
    log.run(
        "insert into cortex.event_types (type, kept_for) values ('task.failed', null), ('beat.heard', '7 days') on conflict do nothing");
    log.run("update cortex.settings set kept_for = now() - '2025-06-01Z'");
    log.run(
        "select cortex.register_handler('h', 'transactional', 5::smallint, '30 s', array['task.failed'])");
    log.month(month);
    log.run(
        """
        insert into cortex.events (type, source, event_id, payload, received_at)
        select 'task.failed', 'w', format('evt_%s01_000000_n%s', replace(?, '_', ''), n), jsonb_build_object('n', n),
               to_timestamp(? || ' +00', 'YYYY_MM TZH') + n * interval '1 minute'
          from generate_series(1, ?) n
        """,
        month, month, events);
    log.run(
        """
        insert into cortex.attempts (event, event_at, started_at, finished_at, outcome, handler_id, generation, attempt)
        select e.id, e.received_at, e.received_at, e.received_at, 'done', 1, 0, 1 from cortex.events e
         where e.type = 'task.failed' and e.received_at < '2025-06-01Z'
        """);
    if (log.rows("select partition from cortex.partitions where partition = 'events_2025_12'")
        .isEmpty()) {
      log.month("2025_12"); // is kept, but for what the type's own retention takes
    }
    log.run(
        "insert into cortex.events (type, source, received_at) select 'beat.heard', 'w-' || n, '2025-12-01Z' from generate_series(1, 100) n");
    return log.rows("select line from cortex.event_log order by line");
  }

  private void assertThatAllIsArchived(TestLog log, List<String> before) throws Exception {
    assertThat(log.rows("select partition from cortex.partitions where state <> 'attached'"))
        .isEmpty();
    assertThat(log.rows("select line from cortex.event_log")).isEmpty();
    assertThat(log.rows("select event from cortex.deliveries")).isEmpty();
    assertThat(Archive.on(log.source()).in(directory).verify())
        .filteredOn(check -> check.defect().isPresent())
        .allMatch(check -> check.defect().get().startsWith("has no manifest"));
    new Importer(database.address("cortex_operator").dataSource(), ImportOptions.defaults())
        .run(List.of(directory.resolve("events")));
    assertThat(log.rows("select line from cortex.event_log order by line")).isEqualTo(before);
    log.run("delete from cortex.events");
  }

  private int run(int deadly) throws IOException, InterruptedException, SQLException {
    Process process;
    String said;
    do { // until the server has noticed the death of the one before
      process = start(deadly);
      said = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    } while (said.contains("another run must end first"));
    int status = process.waitFor();
    assertThat(status == KILLED || said.contains("complete")).as(said).isTrue();
    return status;
  }

  private Process start(int deadly) throws IOException, SQLException {
    PGSimpleDataSource login = database.address().dataSource().unwrap(PGSimpleDataSource.class);
    String url =
        database.address().jdbcUrl()
            + "?user="
            + login.getUser()
            + "&password="
            + login.getPassword();
    return new ProcessBuilder(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-Xmx64m",
            "-cp",
            System.getProperty("java.class.path"),
            ArchiveProcess.class.getName(),
            url,
            directory.toString(),
            Integer.toString(deadly))
        .redirectErrorStream(true)
        .start();
  }
}
