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
  private static final String EVENT_NUMBERED =
      "(select id from cortex.events where payload ->> 'n' = '$1' and not payload ? 'by')";

  private final TestDatabase database;
  private CrashDatabase crash;

  CrashAuditTest(TestDatabase database) {
    this.database = database;
  }

  @BeforeAll
  void a_run_without_a_crash(@TempDir Path directory) throws Exception {
    crash = CrashDatabase.prepare(database);
    try (Connection emitter = database.connection()) {
      CrashEvent.insert(emitter, 0, EVENTS - 1, "sql");
    }
    try (CrashWorker handlers = worker(directory);
        CortexEvents cortex =
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

  private CrashWorker worker(Path directory) throws Exception {
    return new CrashWorker(
        WorkerProcess.url(database.address()),
        Marker.open(directory.resolve("marker")),
        "worker",
        CrashWorker.Manner.BUSY);
  }

  @Test
  void a_sound_run_breaks_no_promise() throws SQLException {
    try (Connection connection = crash.superuser()) {
      assertThat(CrashAudit.broken(connection)).isEmpty();
    }
    assertThat(crash.count("select count(distinct (outcome, reason)) from cortex.attempts"))
        .as("ways in which an attempt ended: done, failed, retry, dead and cancel, maybe snooze")
        .isBetween(5L, 6L);
    assertThat(crash.count("select count(*) from cortex.events where payload ? 'by'"))
        .as("0, 53, 106 and 159, of two handlers each")
        .isEqualTo(8);
  }

  /** What needs no oracle is for everybody who may look. */
  @Test
  void an_auditor_may_ask_for_the_invariants() throws SQLException {
    try (Connection connection = database.address("cortex_auditor").dataSource().getConnection()) {
      assertThat(CrashAudit.brokenInvariants(connection)).isEmpty();
    }
  }

  /** A number after # stands for the event of that number. */
  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '^',
      textBlock =
          """
          I01 a committed event is lost                       | delete from cortex.events where id = #3
          I02 a rolled back event is there                    | insert into cortex.events (type, source, payload) values ('crash.happened', 'x', '{"n": 210}')
          I03 an event is there twice                         | insert into cortex.events (type, source, payload) values ('crash.happened', 'x', '{"n": 10}')
          I04 an event is there that nobody emitted           | insert into cortex.events (type, source, payload) values ('crash.happened', 'x', '{"n": 999}')
          I04 an event is there that nobody emitted           | insert into cortex.events (type, source, payload) values ('crash.followed', 'x', '{"n": 0, "by": "crash-each"}')
          I05 a delivery is missing                           | delete from cortex.attempts where (event, handler_id) = (#10, 1)
          I05 a delivery is missing                           | delete from cortex.deliveries where event = #4
          I06 a delivery is of no subscription                | update cortex.attempts set handler_id = 4 where event = #10
          I07 a delivery is there twice                       | insert into cortex.deliveries select * from cortex.deliveries where event = #4
          I07 a delivery is held though its type is not paused | update cortex.deliveries set lane = -1
          I07 a delivery has ended and is open                | insert into cortex.deliveries (run_at, event, event_at, priority, handler_id) select now(), id, received_at, 'low', 1 from cortex.events where id = #10
          I07 a delivery has ended twice                      | insert into cortex.attempts select event, event_at, started_at, finished_at, null, 'cancel', handler_id, generation, 0, 'cancelled', error from cortex.attempts where (event, handler_id) = (#10, 1)
          I07 a delivery is stuck                             | insert into cortex.deliveries (run_at, event, event_at, priority, handler_id) select now(), id, received_at, 'low', 1 from cortex.events where id = #10
          I07 a delivery is stuck                             | insert into cortex.deliveries (run_at, event, event_at, priority, handler_id) select 'infinity', id, received_at, 'low', 1 from cortex.events where id = #10
          I08 an effect is missing                            | delete from crash_effects where n = 10 and handler = 'crash-each'
          I08 an effect is missing                            | delete from crash_effects where n = 19 and handler = 'crash-leased'
          I08 an effect is doubled                            | insert into crash_effects select * from crash_effects where n = 10 and handler = 'crash-batch'
          I08 a follow-up is missing, doubled, or of what was not done | delete from cortex.events where payload @> '{"n": 53, "by": "crash-ordered"}'
          I08 a follow-up is missing, doubled, or of what was not done | insert into cortex.events (type, source, payload, causation_id) select type, source, payload, causation_id from cortex.events where payload ? 'by' limit 1
          I08 a follow-up is missing, doubled, or of what was not done | update cortex.attempts set outcome = 'dead' where event = #106
          I08 an effect elsewhere is missing                  | delete from crash_calls
          I08 an effect elsewhere has two idempotency keys    | insert into crash_calls select event_id, 'another', fence, attempt, worker, at from crash_calls
          I08 two deliveries have one idempotency key         | update crash_calls set idempotency_key = 'one'
          I09 an effect is of what was not done               | insert into crash_effects select seq, handler, 4, cortex.public_event_id(e.id, e.received_at, e.event_id), digest, worker, call, fence, at from crash_effects, cortex.events e where n = 10 and handler = 'crash-each' and e.id = #4
          I09 an effect is of no event                        | update crash_effects set event_id = 'evt_20260101_000000_0' where n = 10
          I10 an effect is of a lease that another one had followed | insert into crash_calls select event_id, idempotency_key, fence + 1, attempt, worker, at from crash_calls
          I11 the count of attempts is not that of the audit  | update cortex.deliveries set attempt = 7
          I11 a failure is not in the audit, or one that was none | update cortex.attempts set reason = 'lost' where reason = 'handler_failed'
          I11 a failure is not in the audit, or one that was none | insert into cortex.attempts select event, event_at, started_at, finished_at, worker_id, 'retry', handler_id, generation, 0, 'handler_retry', error from cortex.attempts where (event, handler_id) = (#10, 1)
          I12 attempts are not numbered 1 to n                | update cortex.attempts set attempt = 2 where event = #10
          I12 attempts are not numbered 1 to n                | delete from cortex.attempts where outcome = 'retry'
          I12 attempts are not numbered 1 to n                | insert into cortex.attempts select * from cortex.attempts where outcome = 'retry'
          I13 an attempt began of which the audit says nothing | update crash_calls set attempt = 9
          I14 a last attempt failed and the delivery went on  | update cortex.handlers set max_attempts = 1
          I15 done was not the last attempt                   | update cortex.attempts set attempt = 3 - attempt where (event, handler_id) = (#1, 1)
          I16 two attempts of a delivery overlap              | update cortex.attempts set started_at = started_at - interval '1 hour' where (event, handler_id, outcome) = (#1, 1, 'done')
          I17 a lease has no fence                            | update cortex.deliveries set leased_by = 1
          I17 two leases have one fence                       | insert into crash_calls select * from crash_calls
          I18 a key lies in the lane of none                  | update cortex.deliveries set lane = 3
          I18 a key lies in two lanes                         | insert into cortex.deliveries (run_at, event, event_at, priority, handler_id, lane, key) select now(), id, received_at, 'medium', 3, l, 'k' from cortex.events, generate_series(1, 2) l where id = #12
          I18 an event has overtaken another of its key       | update crash_effects set seq = -n where handler = 'crash-ordered'
          I19 an event was handled before its time            | update cortex.events set run_at = now() + interval '1 hour' where id = #10
          I19 an effect came before its time                  | update crash_effects set at = at - interval '1 hour' where n = 101
          I20 a dedupe key is there twice                     | insert into cortex.events (type, source, payload, dedupe_key) select type, source, payload, dedupe_key from cortex.events where id = #4
          I20 an event's id is there twice                    | insert into cortex.events (type, source, payload, event_id) select type, source, payload, event_id from cortex.events where id = #3
          I21 a fire has no event                             | insert into cortex.fires (schedule, fire_at, event_id) values ('nightly', now(), 'evt_20260101_000000_gone')
          I22 two fires have one event                        | insert into cortex.fires (schedule, fire_at, event_id) select s, now(), 'evt_20260101_000000_n3' from unnest('{nightly,daily}'::text[]) s
          I22 an event of the clock has no fire               | insert into cortex.events (type, source, payload) values ('crash.followed', 'x', '{"n": 0, "by": "clock"}')
          I24 a delivery is dead without the audit's saying so | update cortex.attempts set outcome = 'retry' where outcome = 'dead'
          I25 an attempt came after the end                   | insert into cortex.attempts select event, event_at, started_at, now(), worker_id, 'snooze', handler_id, generation, 1, 'handler_snooze', error from cortex.attempts where (event, handler_id) = (#10, 1)
          I25 a dead letter ran without an operator's word    | insert into cortex.attempts select event, event_at, now(), now(), worker_id, 'retry', handler_id, generation, 2, 'handler_retry', error from cortex.attempts where outcome = 'dead'
          I25 an attempt ended otherwise                      | update cortex.attempts set reason = 'event_gone' where outcome = 'dead'
          I25 a delivery was cancelled by nobody              | update cortex.attempts set outcome = 'cancel' where (event, handler_id) = (#10, 1)
          I25 a delivery was cancelled by nobody              | update cortex.attempts set (outcome, worker_id) = row ('cancel'::cortex.outcome, null) where (event, handler_id) = (#6, 1)
          I27 a payload has changed on the way                | update cortex.events set payload = jsonb_set(payload, '{check}', '"other"') where id = #10
          I27 a payload has changed on the way                | update crash_effects set digest = 'other' where n = 10 and handler = 'crash-batch'
          I28 the status view says otherwise                  | with w as (update cortex.workers set stopped_at = null returning worker_id) insert into cortex.slots select worker_id, 1, 1, '{1}', now() from w
          I29 a slot is left                                  | insert into cortex.slots values (1, 1, 1, '{1}', now())
          I29 a worker is thought alive                       | update cortex.workers set stopped_at = null
          I29 an advisory lock is left                        | select pg_advisory_xact_lock(1, 2)
          """)
  void a_broken_promise_is_found(String promise, String damage) throws SQLException {
    try (Connection connection = crash.superuser();
        Statement statement = connection.createStatement()) {
      connection.setAutoCommit(false);
      // The audit and the log only grow, for everybody whose triggers fire.
      statement.execute("set local session_replication_role = replica");
      statement.execute(damage.replaceAll("#([0-9]+)", EVENT_NUMBERED));
      assertThat(CrashAudit.broken(connection))
          .anyMatch(broken -> broken.startsWith(promise + " ("));
      connection.rollback();
    }
    crash.awaitNoSessions();
  }

  @Test
  void what_a_worker_cancels_at_an_operators_word_breaks_no_promise() throws SQLException {
    String cancelled =
        """
        update cortex.attempts set (outcome, reason) = ('cancel', 'cancelled') where (event, handler_id) = (#10, 1);
        delete from crash_effects where n = 10 and handler = 'crash-each';
        select cortex.record_action('cancel', jsonb_build_object('event_id', cortex.public_event_id(e.id, e.received_at, e.event_id)), 'test', null, null)
          from cortex.events e
         where e.id = #10
        """;
    try (Connection connection = crash.superuser();
        Statement statement = connection.createStatement()) {
      connection.setAutoCommit(false);
      statement.execute("set local session_replication_role = replica");
      statement.execute(cancelled.replaceAll("#([0-9]+)", EVENT_NUMBERED));
      assertThat(CrashAudit.broken(connection)).isEmpty();
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
          .anyMatch(broken -> broken.startsWith("I29 a session is left"))
          .anyMatch(broken -> broken.startsWith("I29 a transaction is left open"));
    }
    crash.awaitNoSessions();
  }
}
