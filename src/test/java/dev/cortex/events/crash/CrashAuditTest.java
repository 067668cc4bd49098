package dev.cortex.events.crash;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.telemetry.Telemetry;
import dev.cortex.events.worker.Worker;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.TestInstance.Lifecycle;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** The tests' own test: of a sound run the audit says nothing, and what is broken it finds. */
@ExtendWith(PostgresExtension.class)
@TestInstance(Lifecycle.PER_CLASS)
class CrashAuditTest {
  private static final int EVENTS = 210;
  private static final int ROLLED_BACK = EVENTS;

  private final TestDatabase database;
  private CrashDatabase crash;

  CrashAuditTest(TestDatabase database) {
    this.database = database;
  }

  @BeforeAll
  void a_run_without_a_crash(@TempDir Path directory) throws Exception {
    crash = CrashDatabase.prepare(database);
    crash.emit(0, EVENTS - 1);
    CrashWorker handlers =
        new CrashWorker(
            Marker.open(directory.resolve("marker")), "worker", CrashWorker.Manner.BUSY);
    try (CortexEvents cortex =
            CortexEvents.connect(database.address()).withTelemetry(Telemetry.silent());
        Worker worker = cortex.work(handlers.handlers(), handlers.options())) {
      assertThat(worker.workerId()).isPositive();
      crash.awaitDrained();
    }
    Path ledger = directory.resolve("ledger");
    Files.write(ledger, IntStream.range(0, EVENTS).mapToObj(n -> n + " committed").toList());
    Path other = directory.resolve("other");
    Files.write(other, List.of(ROLLED_BACK + " rolled_back", (ROLLED_BACK + 1) + " in_doubt"));
    try (Connection connection = crash.superuser()) {
      CrashAudit.load(connection, List.of(ledger, other));
    }
    crash.awaitNoSessions();
  }

  @Test
  void a_sound_run_breaks_no_promise() throws SQLException {
    try (Connection connection = crash.superuser()) {
      assertThat(CrashAudit.broken(connection)).isEmpty();
    }
    assertThat(crash.count("select count(*) from cortex.attempts where outcome = 'retry'"))
        .as("two handlers, and 7, 107 and 207 fail once")
        .isEqualTo(6);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      textBlock =
          """
          a committed event is lost                           | delete from cortex.events where payload ->> 'n' = '3'
          an event is there twice                             | insert into cortex.events (type, source, payload) values ('crash.happened', 'x', '{"n": 3}')
          a rolled back event is there                        | insert into cortex.events (type, source, payload) values ('crash.happened', 'x', '{"n": 210}')
          an event is there that nobody emitted               | insert into cortex.events (type, source, payload) values ('crash.happened', 'x', '{"n": 999}')
          an effect is missing                                | delete from crash_effects where n = 3 and handler = 'crash-each'
          an effect is doubled                                | insert into crash_effects select * from crash_effects where n = 3 and handler = 'crash-batch'
          an effect is of no event                            | insert into crash_effects values ('crash-each', 210, 'evt_20260101_000000_0', 'worker', 0)
          a delivery is not done exactly once                 | delete from cortex.attempts where event = (select min(event) from cortex.attempts) and handler_id = 1
          a delivery is not done exactly once                 | insert into cortex.attempts select event, event_at, started_at, finished_at, worker_id, outcome, handler_id, generation, 2, reason, error from cortex.attempts where event = (select min(event) from cortex.attempts) limit 1
          a delivery was tried after it was done              | update cortex.attempts set attempt = 3 - attempt where event = (select event from cortex.attempts where outcome = 'retry' limit 1)
          attempts are not numbered 1 to n                    | update cortex.attempts set attempt = 2 where event = (select min(event) from cortex.attempts)
          attempts are not numbered 1 to n                    | delete from cortex.attempts where outcome = 'retry'
          a failure is not in the audit, or one that was none | update cortex.attempts set reason = 'database_gone' where outcome = 'retry'
          a failure is not in the audit, or one that was none | insert into cortex.attempts select event, event_at, started_at, finished_at, worker_id, 'retry', handler_id, generation, 0, 'handler_failed', error from cortex.attempts where event = (select min(event) from cortex.attempts) limit 1
          an attempt ended otherwise                          | update cortex.attempts set outcome = 'dead' where outcome = 'retry'
          an attempt is of no delivery                        | update cortex.attempts set generation = 1 where event = (select min(event) from cortex.attempts)
          an attempt is of no delivery                        | update cortex.attempts set event = -1 where event = (select min(event) from cortex.attempts)
          a delivery is stuck                                 | insert into cortex.deliveries (run_at, event, event_at, priority, handler_id) select 'infinity', id, received_at, 'low', 1 from cortex.events limit 1
          a slot is left                                      | insert into cortex.slots values (1, 1, 1, '{1}', now())
          a worker is thought alive                           | update cortex.workers set stopped_at = null
          an advisory lock is left                            | select pg_advisory_xact_lock(1, 2)
          """)
  void a_broken_promise_is_found(String promise, String damage) throws SQLException {
    try (Connection connection = crash.superuser();
        Statement statement = connection.createStatement()) {
      connection.setAutoCommit(false);
      // The audit and the log only grow, for everybody whose triggers fire.
      statement.execute("set local session_replication_role = replica");
      statement.execute(damage);
      assertThat(CrashAudit.broken(connection)).anyMatch(broken -> broken.startsWith(promise));
      connection.rollback();
    }
    crash.awaitNoSessions();
  }

  @Test
  void a_session_that_is_left_and_its_open_transaction_are_found() throws SQLException {
    try (Connection connection = crash.superuser();
        Connection left = database.address("cortex_worker").dataSource().getConnection();
        Statement statement = left.createStatement()) {
      left.setAutoCommit(false);
      statement.execute("select 1");
      assertThat(CrashAudit.broken(connection))
          .anyMatch(broken -> broken.startsWith("a session is left"))
          .anyMatch(broken -> broken.startsWith("a transaction is left open"));
    }
    crash.awaitNoSessions();
  }
}
