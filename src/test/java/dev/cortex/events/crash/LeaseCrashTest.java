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
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/**
 * What the holder of a lease leaves behind when it dies or stands still is run by another worker
 * once the lease has run out, by the database's clock, with one attempt charged to the holder.
 */
@ExtendWith(PostgresExtension.class)
class LeaseCrashTest {
  private static final int EVENTS = Integer.getInteger("cortex.crash.leases", 150);

  /** What keeps a worker at work for longer than a lease. */
  private static final int QUEUED = 200;

  private static final String VICTIMS_EVENT =
      " where event_id = (select c.event_id from lease_calls c where c.worker = 'victim' order by c.called_at limit 1)";

  private static final String DONE_TWICE =
      "select count(*) from (select from lease_effects group by event_id having count(*) > 1) twice";

  /** What befalls the holder of a lease. */
  private enum Blow {
    KILLED,
    STOPPED,
    CUT_OFF
  }

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

  @ParameterizedTest
  @EnumSource(Blow.class)
  void what_a_lost_worker_held_is_charged_to_it_and_completed_by_an_idle_one(Blow blow)
      throws Exception {
    try (NetworkLine line = NetworkLine.to(database.url("cortex_worker"))) {
      WorkerProcess victim = startVictim(line, blow);
      start("idle", Manner.QUICK).work();
      strike(victim, line, blow);
      database.awaitDrained();
      printRescue(blow + ", survivor idle");
      assertRescued("idle");
      goOn(victim, line, blow);
      assertRescued("idle");
    }
  }

  /** The lost delivery lies at the end of its lease, behind all that was due before. */
  @ParameterizedTest
  @EnumSource(Blow.class)
  void what_a_lost_worker_held_is_completed_by_a_busy_one_before_it_has_emptied_its_queue(Blow blow)
      throws Exception {
    try (NetworkLine line = NetworkLine.to(database.url("cortex_worker"))) {
      WorkerProcess victim = startVictim(line, blow);
      WorkerProcess survivor = start("busy", Manner.BUSY).work();
      strike(victim, line, blow);
      emit(QUEUED);
      database.awaitCount("select count(*) from lease_effects" + VICTIMS_EVENT, 1);
      assertThat(database.count("select count(*) from cortex.deliveries"))
          .as("what was due before, and is still open")
          .isPositive();
      printRescue(blow + ", survivor busy");
      survivor.kill();
      assertRescued("busy");
      goOn(victim, line, blow);
      assertRescued("busy");
    }
  }

  /** A worker that holds the lease of the only event, and does not let go of it. */
  private WorkerProcess startVictim(NetworkLine line, Blow blow) throws Exception {
    WorkerProcess victim =
        start(
                blow == Blow.CUT_OFF ? line.url() : database.url("cortex_worker"),
                "victim",
                Manner.STUBBORN)
            .work();
    emit(1);
    database.awaitCount("select count(*) from lease_calls where worker = 'victim'", 1);
    return victim;
  }

  private void strike(WorkerProcess victim, NetworkLine line, Blow blow) throws Exception {
    database.run("insert into blows default values");
    switch (blow) {
      case KILLED -> victim.kill();
      case STOPPED -> victim.suspend();
      case CUT_OFF -> line.cut();
    }
    database.run(
        "update blows set lease_ends_at = (select run_at from cortex.deliveries where leased_by is not null)");
  }

  /** The holder comes back, and what it did under the lease that it lost is refused. */
  private static void goOn(WorkerProcess victim, NetworkLine line, Blow blow) throws Exception {
    switch (blow) {
      case KILLED -> {
        return;
      }
      case STOPPED -> victim.resume();
      case CUT_OFF -> line.mend();
    }
    victim.awaitSaid("LeaseLost");
    victim.awaitSaid("LeaseRefused");
  }

  private void assertRescued(String survivor) throws SQLException {
    assertThat(database.count("select count(*) from lease_effects" + VICTIMS_EVENT)).isEqualTo(1);
    assertThat(
            database.count(
                "select count(*) from lease_effects"
                    + VICTIMS_EVENT
                    + " and worker = '"
                    + survivor
                    + "' and fence = 2"))
        .isEqualTo(1);
    assertThat(
            database.count(
                "select count(*) from lease_calls" + VICTIMS_EVENT + " and fence = attempt"))
        .isEqualTo(2);
    assertThat(attempts("'crash 1 lease_lost victim', 'done 2  " + survivor + "'")).isEqualTo(2);
    assertThat(
            database.count(
                "select count(*) from cortex.attempts where event = (select min(event) from cortex.attempts)"))
        .isEqualTo(2);
    assertThat(database.count(DONE_TWICE)).isZero();
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
    return start(database.url("cortex_worker"), name, manner);
  }

  private WorkerProcess start(String url, String name, Manner manner) throws IOException {
    WorkerProcess process = WorkerProcess.start(url, directory, name, manner);
    started.add(process);
    return process;
  }

  private void emit(int events) throws SQLException {
    database.run(
        "insert into cortex.events (type, source) select 'crash.leased', 'test' from generate_series(1, "
            + events
            + ")");
  }

  private void printRescue(String what) throws SQLException {
    System.out.printf(
        "lease crash test: %s: next call %d ms after the blow, %d ms after the end of the lease of %d ms%n",
        what,
        database.count(untilCalled("told_at")),
        database.count(untilCalled("lease_ends_at")),
        LeaseWorker.LEASE.toMillis());
  }

  private static String untilCalled(String since) {
    return "select (extract(epoch from max(called_at) - (select max(%s) from blows)) * 1000)::bigint from lease_calls"
            .formatted(since)
        + VICTIMS_EVENT;
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
