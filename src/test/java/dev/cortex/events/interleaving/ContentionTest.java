package dev.cortex.events.interleaving;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.telemetry.EngineEvent;
import dev.cortex.events.telemetry.Telemetry;
import dev.cortex.events.worker.WorkerOptions;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Batches that meet rivals, and sessions at another isolation. */
@ExtendWith(PostgresExtension.class)
class ContentionTest {
  private static final String TYPE = "test.contention";
  private static final String NOT_FIRST_TIME =
      "select count(*) from cortex.attempts where outcome <> 'done' or attempt <> 1";

  private final TestEngine engine;
  private final Queue<EngineEvent> told = new ConcurrentLinkedQueue<>();
  private final Telemetry telemetry = told::add;

  ContentionTest(TestDatabase database) {
    this.engine = new TestEngine(database);
  }

  @BeforeEach
  void clear() throws SQLException {
    engine.clear();
    configure("set deadlock_timeout = '10ms'");
    engine.run("create table if not exists counters (id int primary key, n int not null)");
    engine.run("grant all on counters to public");
    engine.run("truncate counters");
    engine.run("insert into counters select id, 0 from generate_series(0, 9) id");
  }

  @AfterEach
  void reset() throws SQLException {
    configure("reset all");
  }

  private void configure(String setting) throws SQLException {
    engine.runAsSuperuser(
        "do $$ begin execute format('alter database %I "
            + setting.replace("'", "''")
            + "', current_database()); end $$");
  }

  /** As a deadlock, a serialization failure and a lock timeout reach a handler. */
  @ParameterizedTest
  @ValueSource(strings = {"40P01", "40001", "55P03"})
  void interleaving_11_contention_costs_no_attempt_and_shrinks_the_batch(String sqlState)
      throws Exception {
    engine.subscribe("clashing", TYPE);
    engine.emit(TYPE, 400);
    AtomicInteger clashes = new AtomicInteger(2);
    HandlerDefinition definition =
        HandlerDefinition.oneByOne(
                "clashing",
                (event, context) -> {
                  TestEngine.effect("clashing", event, context);
                  if (clashes.getAndDecrement() > 0) {
                    TestEngine.run(
                        context.connection(),
                        "do $$ begin raise exception using errcode = '" + sqlState + "'; end $$");
                  }
                  return Outcome.done();
                })
            .on(TYPE);
    try (CortexEvents cortex = engine.connect(telemetry)) {
      cortex.work(List.of(definition), WorkerOptions.defaults().withSlots(1));
      engine.awaitNumber(400, "select count(*) from cortex.attempts");
    }
    assertThat(engine.number(NOT_FIRST_TIME)).isZero();
    assertThat(engine.number("select count(distinct event_id) from effects")).isEqualTo(400);
    assertThat(told).contains(new EngineEvent.BatchClashed("clashing", 100));
    // The batch halved, and the event that clashed once more when it was run alone halved it again.
    assertThat(
            told.stream()
                .filter(EngineEvent.BatchHandled.class::isInstance)
                .map(event -> ((EngineEvent.BatchHandled) event).events())
                .filter(events -> events > 1)
                .findFirst())
        .contains(25);
  }

  /** By a second connection, for a row that its first one has locked. */
  @Test
  void interleaving_11_what_waits_for_itself_every_time_is_charged_in_the_end() throws Exception {
    engine.subscribe("own_rival", TYPE);
    engine.emit(TYPE, 1);
    HandlerDefinition definition =
        HandlerDefinition.oneByOne(
                "own_rival",
                (event, context) -> {
                  count(context.connection(), 1);
                  try (Connection second = engine.superuser()) {
                    TestEngine.run(second, "set lock_timeout = '1ms'");
                    count(second, 1);
                  }
                  return Outcome.done();
                })
            .on(TYPE)
            .withRetry(TestEngine.QUICK.withMaxAttempts(1));
    try (CortexEvents cortex = engine.connect(telemetry)) {
      cortex.work(List.of(definition));
      engine.awaitNumber(1, "select count(*) from cortex.attempts where outcome = 'dead'");
    }
    assertThat(
            engine.rows(
                "select outcome || ' ' || reason || ' ' || count(*) from cortex.attempts"
                    + " group by outcome, reason order by outcome"))
        .containsExactlyInAnyOrder("dead contention 1", "snooze contention 9");
    assertThat(engine.number("select sum(n) from counters")).isZero();
  }

  /** Two batches lock two rows in opposite orders and wait for each other. */
  @Test
  void interleaving_11_a_deadlock_of_two_batches_costs_no_attempt() throws Exception {
    engine.subscribe("deadlocked", TYPE);
    CountDownLatch bothHoldOne = new CountDownLatch(2);
    HandlerDefinition definition =
        HandlerDefinition.oneByOne(
                "deadlocked",
                (event, context) -> {
                  boolean isFirstBatch = bothHoldOne.getCount() == 2;
                  count(context.connection(), isFirstBatch ? 0 : 1);
                  bothHoldOne.countDown();
                  bothHoldOne.await();
                  count(context.connection(), isFirstBatch ? 1 : 0);
                  return TestEngine.effect("deadlocked", event, context);
                })
            .on(TYPE)
            .withMaxBatch(2);
    try (CortexEvents cortex = engine.connect(telemetry)) {
      cortex.work(List.of(definition), WorkerOptions.defaults().withSlots(1));
      cortex.work(List.of(definition), WorkerOptions.defaults().withSlots(1));
      engine.emit(TYPE, 4);
      engine.awaitNumber(4, "select count(*) from cortex.attempts");
    }
    assertThat(engine.number(NOT_FIRST_TIME)).isZero();
    assertThat(engine.rows("select n from counters where id <= 1 order by id"))
        .containsExactly("4", "4");
    assertThat(engine.number("select count(*) from effects")).isEqualTo(4);
  }

  /** A handler written for one event on few rows: batches lock them in any order. */
  @Test
  void interleaving_11_two_workers_on_hot_rows_count_right_and_burn_no_attempt() throws Exception {
    engine.subscribe("hot", TYPE);
    engine.emit(TYPE, 2_000);
    HandlerDefinition definition =
        HandlerDefinition.oneByOne(
                "hot",
                (event, context) -> {
                  count(context.connection(), Math.floorMod(TestEngine.n(event) * 7919, 10));
                  return Outcome.done();
                })
            .on(TYPE);
    try (CortexEvents cortex = engine.connect(telemetry)) {
      cortex.work(List.of(definition), WorkerOptions.defaults().withSlots(2));
      cortex.work(List.of(definition), WorkerOptions.defaults().withSlots(2));
      engine.awaitNumber(2_000, "select count(*) from cortex.attempts where outcome = 'done'");
    }
    assertThat(engine.number("select sum(n) from counters")).isEqualTo(2_000);
    assertThat(
            engine.number(
                "select count(*) from cortex.attempts where outcome = 'done' and attempt > 1"))
        .isZero();
    assertThat(
            engine.number(
                "select count(*) from cortex.attempts where outcome <> 'done' and reason <> 'contention'"))
        .isZero();
  }

  private static void count(Connection connection, int counter) throws SQLException {
    TestEngine.run(connection, "update counters set n = n + 1 where id = ?", counter);
  }

  /** Claims are right at READ COMMITTED only; an administrator may have chosen another default. */
  @Test
  void interleaving_25_claims_run_at_read_committed_whatever_the_default_is() throws Exception {
    engine.subscribe("isolated", TYPE);
    configure("set default_transaction_isolation = 'serializable'");
    engine.emit(TYPE, 300);
    Queue<String> isolations = new ConcurrentLinkedQueue<>();
    HandlerDefinition definition =
        HandlerDefinition.oneByOne(
                "isolated",
                (event, context) -> {
                  isolations.add(
                      TestEngine.text(
                          context.connection(), "select current_setting('transaction_isolation')"));
                  return TestEngine.effect("isolated", event, context);
                })
            .on(TYPE);
    try (CortexEvents cortex = engine.connect(telemetry)) {
      cortex.work(List.of(definition));
      cortex.work(List.of(definition));
      engine.awaitNumber(300, "select count(*) from cortex.attempts");
    }
    assertThat(isolations).containsOnly("read committed");
    assertThat(engine.number(NOT_FIRST_TIME)).isZero();
    assertThat(told).doesNotHaveAnyElementsOfTypes(EngineEvent.BatchRedone.class);
  }
}
