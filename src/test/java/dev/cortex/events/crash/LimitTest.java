package dev.cortex.events.crash;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.io.IOException;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

/** As many batches of a handler as may run in the whole cluster, and no more, whatever dies. */
@ExtendWith(PostgresExtension.class)
@Timeout(180)
class LimitTest {
  /** The most that ran at one moment: at the beginning of one of them. */
  private static final String MOST_AT_ONCE =
      """
      select max(n)
        from (select count(*) as n
                from limit_runs a
                join limit_runs b on b.started_at <= a.started_at
                                 and coalesce(b.ended_at, b.started_at + interval '1 microsecond') > a.started_at
               group by a.id) at_once
      """;

  private static final String DONE =
      "select count(*) from cortex.attempts join cortex.handlers using (handler_id)"
          + " where name = 'limited' and outcome = 'done'";

  private final CrashDatabase database;
  private final List<Process> started = new ArrayList<>();

  LimitTest(TestDatabase database) throws SQLException {
    this.database = new CrashDatabase(database);
  }

  @BeforeEach
  void start_from_nothing() throws SQLException {
    database.runAsSuperuser(LimitedWorker.SETUP);
  }

  @AfterEach
  void end_what_still_runs() {
    started.forEach(Process::destroyForcibly);
  }

  @Test
  void the_limit_of_a_handler_holds_over_three_processes_of_which_two_are_killed()
      throws Exception {
    start("one", 2, "unordered");
    start("two", 2, "unordered");
    awaitRegistered(2);
    emit(2_000);
    awaitRuns("one", 5);
    kill(0, "one");
    start("three", 2, "unordered");
    awaitRuns("three", 5);
    kill(1, "two");
    database.awaitCount(DONE, 2_000);

    assertThat(database.count(MOST_AT_ONCE)).isEqualTo(2);
  }

  @Test
  void a_limit_of_one_starves_nobody() throws Exception {
    start("one", 1, "unordered");
    start("two", 1, "unordered");
    awaitRegistered(2);
    emit(300);
    database.awaitCount(DONE, 300);

    assertThat(database.count(MOST_AT_ONCE)).isEqualTo(1);
  }

  @Test
  void the_limit_of_an_ordered_handler_holds_as_well() throws Exception {
    start("one", 2, "ordered");
    start("two", 2, "ordered");
    awaitRegistered(2);
    emit(600);
    database.awaitCount(DONE, 600);

    assertThat(database.count(MOST_AT_ONCE)).isEqualTo(2);
  }

  private void start(String name, int limit, String order) throws IOException, SQLException {
    started.add(
        WorkerProcess.jvm(
                LimitedWorker.class,
                database.url("cortex_worker"),
                name,
                String.valueOf(limit),
                order)
            .start());
  }

  private void awaitRegistered(int workers) {
    database.awaitAlive(workers);
  }

  private void awaitRuns(String worker, int runs) {
    database.awaitCount(
        "select least(count(*), %d) from limit_runs where worker = '%s'".formatted(runs, worker),
        runs);
  }

  /** What it ran until then counts as running until then. */
  private void kill(int index, String worker) throws SQLException {
    database.run(
        """
        create table killed_%1$s as select clock_timestamp() as at;
        grant all on killed_%1$s to public
        """
            .formatted(worker));
    started.get(index).destroyForcibly().onExit().join();
    database.run(
        """
        update limit_runs set ended_at = greatest(started_at, (select at from killed_%1$s))
         where worker = '%1$s' and ended_at is null;
        drop table killed_%1$s
        """
            .formatted(worker));
  }

  private void emit(int events) throws SQLException {
    database.run(
        """
        insert into cortex.events (type, source, key)
        select 'limit.load', 'test', 'key-' || n %% 16 from generate_series(1, %d) n
        """
            .formatted(events));
  }
}
