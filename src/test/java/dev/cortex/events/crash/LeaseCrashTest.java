package dev.cortex.events.crash;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.crash.LeaseWorker.Manner;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.io.IOException;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/**
 * What the holder of a lease leaves behind when it dies or stands still is run by another worker
 * once the lease has run out, by the database's clock, with one attempt charged to the holder.
 */
@ExtendWith(PostgresExtension.class)
class LeaseCrashTest {
  private static final int EVENTS = Integer.getInteger("cortex.crash.leases", 150);

  /** From the last sign of life to the next call: what is promised. */
  private static final String RESCUED_LATE =
      """
      select count(*)
        from cortex.attempts lost
        join cortex.attempts next on next.event = lost.event and next.attempt = lost.attempt + 1
       where lost.reason = 'lease_lost'
         and next.started_at - (select told_at from blows) > 1.5 * interval '%d s'
      """
          .formatted(LeaseWorker.LEASE.toSeconds());

  private final CrashDatabase database;
  private final Path directory;
  private final List<WorkerProcess> started = new ArrayList<>();

  LeaseCrashTest(TestDatabase database, @TempDir Path directory) throws SQLException {
    this.database = CrashDatabase.prepareLeases(database);
    this.directory = directory;
  }

  @BeforeEach
  void nothing_has_happened() throws SQLException {
    database.forgetLeases();
  }

  @AfterEach
  void end_what_still_runs() {
    started.forEach(WorkerProcess::kill);
  }

  @Test
  void what_a_killed_worker_held_is_charged_to_it_and_completed_by_another() throws Exception {
    WorkerProcess victim = start("killed", Manner.STUBBORN).work();
    emit(1);
    database.awaitCount("select count(*) from lease_calls where worker = 'killed'", 1);
    WorkerProcess rescuer = start("rescuer", Manner.BUSY).work();
    strike();
    victim.kill();
    database.awaitDrained();

    assertThat(database.count("select count(*) from lease_effects where worker = 'rescuer'"))
        .isEqualTo(1);
    assertThat(database.count("select count(*) from lease_effects")).isEqualTo(1);
    assertThat(attempts("'crash 1 lease_lost killed', 'done 2  rescuer'")).isEqualTo(2);
    assertThat(database.count("select count(*) from cortex.attempts")).isEqualTo(2);
    assertThat(database.count(RESCUED_LATE)).isZero();
    printRescue("killed");
    rescuer.kill();
  }

  @Test
  void what_a_stopped_worker_held_is_completed_by_another_and_refused_when_it_goes_on()
      throws Exception {
    WorkerProcess victim = start("stopped", Manner.STUBBORN).work();
    emit(1);
    database.awaitCount("select count(*) from lease_calls where worker = 'stopped'", 1);
    WorkerProcess rescuer = start("helper", Manner.BUSY).work();
    strike();
    victim.suspend();
    database.awaitDrained();
    assertThat(database.count(RESCUED_LATE)).isZero();
    victim.resume();
    victim.awaitSaid("LeaseLost");
    victim.awaitSaid("LeaseRefused");

    assertThat(database.count("select count(*) from lease_effects where worker = 'helper'"))
        .isEqualTo(1);
    assertThat(database.count("select count(*) from lease_effects")).isEqualTo(1);
    assertThat(attempts("'crash 1 lease_lost stopped', 'done 2  helper'")).isEqualTo(2);
    assertThat(database.count("select count(*) from lease_calls where fence = attempt"))
        .isEqualTo(2);
    printRescue("stopped");
    rescuer.kill();
  }

  @Test
  void interleaving_24_three_processes_run_no_more_at_once_than_the_limit() throws Exception {
    for (int i = 0; i < 3; i++) {
      start("limited-" + i, Manner.LIMITED).work();
    }
    emit(EVENTS);
    database.awaitDrained();
    assertThat(database.count("select count(*) from lease_effects")).isEqualTo(EVENTS);
    assertThat(
            database.count(
                """
                select max(running) from (
                  select sum(step) over (order by at, step) as running
                    from cortex.attempts
                   cross join lateral (values (started_at, 1), (finished_at, -1)) s(at, step)) counted
                """))
        .isEqualTo(2);
    assertThat(database.count("select count(distinct worker) from lease_effects"))
        .as("processes that had a share")
        .isEqualTo(3);
    database.run("update cortex.handlers set max_running = null");
  }

  private WorkerProcess start(String name, Manner manner) throws IOException, SQLException {
    WorkerProcess process =
        WorkerProcess.start(database.url("cortex_worker"), directory, name, manner);
    started.add(process);
    return process;
  }

  private void emit(int events) throws SQLException {
    database.run(
        "insert into cortex.events (type, source) select 'crash.leased', 'test' from generate_series(1, "
            + events
            + ")");
  }

  /** The moment before the blow, by the database's clock. */
  private void strike() throws SQLException {
    database.run("insert into blows values (clock_timestamp())");
  }

  private void printRescue(String victim) throws SQLException {
    System.out.printf(
        "lease crash test: %s to next call %d ms, lease %d ms%n",
        victim,
        database.count(
            """
            select (extract(epoch from max(called_at) - (select told_at from blows)) * 1000)::bigint from lease_calls
            """),
        LeaseWorker.LEASE.toMillis());
  }

  private long attempts(String lines) throws SQLException {
    return database.count(
        """
        select count(*)
          from cortex.attempts a
          join cortex.workers w using (worker_id)
         where concat_ws(' ', a.outcome, a.attempt, coalesce(a.reason, ''), w.name) in (%s)
        """
            .formatted(lines));
  }
}
