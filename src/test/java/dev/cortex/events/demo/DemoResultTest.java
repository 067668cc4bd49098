package dev.cortex.events.demo;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.demo.DemoResult.Kill;
import dev.cortex.events.event.Defect;
import dev.cortex.events.fleet.FleetHandlers;
import dev.cortex.events.fleet.SampleArchive;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.outbox.ImportSummary;
import dev.cortex.events.telemetry.Telemetry;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.TestInstance.Lifecycle;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/**
 * What a run's result tells: nothing of one that went as promised, and of one whose traces were
 * tampered with exactly what is wrong. Every tampering is rolled back.
 */
@ExtendWith(PostgresExtension.class)
@TestInstance(Lifecycle.PER_CLASS)
class DemoResultTest {
  private static final Duration PATIENCE = Duration.ofSeconds(60);
  private static final ImportSummary IMPORTED =
      new ImportSummary(
          SampleArchive.EVENTS, 0, Map.of(Defect.INVALID_JSON, (long) SampleArchive.DEFECTS));

  private final TestDatabase database;
  private final Connection connection;
  private final DemoStore store;
  private final Ledger ledger = new Ledger();
  private final OffsetDateTime start;

  DemoResultTest(TestDatabase database) throws SQLException {
    this.database = database;
    this.connection = database.superuserAddress().dataSource().getConnection();
    this.store = new DemoStore(database.connection());
    store.prepare();
    store.setThresholds(Duration.ofMinutes(5), Duration.ofSeconds(1));
    this.start = store.now();
  }

  @BeforeAll
  void a_run_that_went_as_promised() throws Exception {
    List<HandlerDefinition> handlers = new ArrayList<>(FleetHandlers.all());
    handlers.addAll(DemoHandlers.all());
    try (CortexEvents cortex =
            CortexEvents.connect(database.address()).withTelemetry(Telemetry.silent());
        Connection emitter = database.connection()) {
      emitter.setAutoCommit(false);
      cortex.work(handlers);
      SimulatedFleet fleet =
          new SimulatedFleet(
              emitter,
              ledger::committed,
              new SimulatedFleet.Crew("demo", "test", "simulated-worker-", 1, 8, true));
      fleet.startWorkers();
      fleet.doTasks(120);
      ledger.rolledBack(fleet.doTasksInVain(5));
      awaitHandled();
      tamper(
          "update fleet.worker_health set heard_at = heard_at - interval '1 hour',"
              + " reported_at = reported_at - interval '1 hour',"
              + " report_received_at = report_received_at - interval '1 hour'"
              + " where worker_id = 'simulated-worker-8'");
      fleet.askForStaleCheck();
      fleet.askForStaleCheck();
      fleet.askForLearning(store.nextLearningDate());
      fleet.askForCleanup();
      awaitHandled();
      fleet.stopWorkers();
      awaitHandled();
    }
    connection.setAutoCommit(false);
    tamper("set session_replication_role = replica"); // the log may not be changed otherwise
    connection.commit();
  }

  @AfterEach
  void take_it_back() throws SQLException {
    connection.rollback();
  }

  @AfterAll
  void close() throws SQLException {
    connection.close();
  }

  @Test
  void of_a_run_as_promised_nothing_is_told() throws SQLException {
    DemoResult result = result();
    assertThat(result.broken()).isEmpty();
    assertThat(result.isAsPromised()).isTrue();
    assertThat(result.alerts().ids()).hasSize(1);
    assertThat(result.alerts().silences()).isEqualTo(1);
    assertThat(result.events().rolledBack()).isEqualTo(15);
    assertThat(result.imported().read()).isEqualTo(SampleArchive.EVENTS + SampleArchive.DEFECTS);
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      quoteCharacter = '"',
      value = {
        "a delivery without a trace | lost: 1 |"
            + " delete from cortex.attempts where (event, handler_id) = (select event, handler_id"
            + " from cortex.attempts join cortex.handlers using (handler_id)"
            + " where name = 'task-outcomes' and outcome = 'done' order by event limit 1)",
        "an event that was committed | lost: 1 |"
            + " delete from cortex.events where id = (select min(id) from cortex.events where type = 'task.created')",
        "an effect that was not made | lost: 1 |"
            + " delete from demo.effects where event_id = (select min(event_id) from demo.effects)",
        "an effect that was made twice | duplicated: 1 |"
            + " insert into demo.effects select * from demo.effects order by event_id limit 1",
        "a delivery that was not finished | stuck: 1 |"
            + " insert into cortex.deliveries (run_at, event, event_at, priority, handler_id)"
            + " select now(), event, event_at, 'medium', handler_id from cortex.attempts where outcome = 'done' limit 1",
        "an alert that was never raised | silent workers without an alert: 1 |"
            + " delete from cortex.events where type = 'system.health_alert'",
        "a clean-up that did not complete | clean-ups: 0 |"
            + " delete from cortex.events where type = 'system.cleanup_completed'",
        "a learning cycle that did not run | learning cycles: 0 | delete from fleet.learning_cycles",
        "a learning cycle too many | learning cycles: 2 |"
            + " insert into fleet.learning_cycles (cycle_date, cycle_type, requested_by, event_id)"
            + " values ('2000-01-01', 'daily', 'demo', 'evt')",
        "an alert that was raised twice | alerts too many: 1 |"
            + " select cortex.emit(type, source, payload) from cortex.events where type = 'system.health_alert'"
      })
  void of_a_run_that_broke_a_promise_it_is_told(String what, String told, String tampering)
      throws SQLException {
    tamper(tampering);
    DemoResult result = result();
    assertThat(result.broken()).as(what).contains(told);
    assertThat(result.isAsPromised()).isFalse();
  }

  @Test
  void what_only_the_demo_knows_is_told_too() throws SQLException {
    assertThat(result(IMPORTED, new Kill("w", 0), true).broken())
        .containsExactly("the worker that was killed was idle");
    assertThat(result(IMPORTED, new Kill("w", 1), false).broken())
        .containsExactly("a worker did not end in order");
    ImportSummary half = new ImportSummary(SampleArchive.EVENTS - 1, 0, IMPORTED.quarantined());
    assertThat(result(half, new Kill("w", 1), true).broken())
        .containsExactly("the sample archive was not imported as a whole");
    ImportSummary again =
        new ImportSummary(0, SampleArchive.EVENTS + SampleArchive.DEFECTS, Map.of());
    assertThat(result(again, new Kill("w", 1), true).broken()).isEmpty();
  }

  private DemoResult result() throws SQLException {
    return result(IMPORTED, new Kill("w", 1), true);
  }

  /** As the demo asks it. */
  private DemoResult result(ImportSummary imported, Kill killed, boolean inOrder)
      throws SQLException {
    DemoStore tampered = new DemoStore(connection);
    return new DemoResult(
        imported,
        tampered.handlers(start),
        tampered.events(start, ledger),
        tampered.effects(start),
        killed,
        inOrder,
        tampered.alerts(start),
        tampered.chores(start),
        Duration.ZERO,
        Path.of("logs"));
  }

  private void awaitHandled() {
    await().atMost(PATIENCE).until(() -> open(store.progress(start, Duration.ZERO, 0, 1)) == 0);
  }

  private static long open(DemoProgress progress) {
    return progress.waiting() + progress.retrying();
  }

  private void tamper(String sql) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }
}
