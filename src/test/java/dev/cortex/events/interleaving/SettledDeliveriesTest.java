package dev.cortex.events.interleaving;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.delivery.ClaimWindow;
import dev.cortex.events.delivery.Delivery;
import dev.cortex.events.delivery.SessionStore;
import dev.cortex.events.delivery.Settlement;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.worker.WorkerOptions;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicBoolean;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Which delivery an acknowledgement or a charge is for, whatever happened in between. */
@ExtendWith(PostgresExtension.class)
class SettledDeliveriesTest {
  private static final String TYPE = "test.settled";
  private static final int WORKER = 77;

  private final TestEngine engine;

  SettledDeliveriesTest(TestDatabase database) {
    this.engine = new TestEngine(database);
  }

  @BeforeEach
  void clear() throws SQLException {
    engine.clear();
  }

  /** A claims and rolls back, B finishes, vacuum: another event lies where the first one lay. */
  @Test
  void interleaving_1_a_ctid_of_an_ended_transaction_neither_acknowledges_nor_charges()
      throws SQLException {
    short handler = engine.subscribe("ctid", TYPE);
    engine.emit(TYPE, 1);
    Delivery stale;
    try (Connection a = engine.begin()) {
      stale = engine.claim(a, handler, 10).get(0);
      a.rollback();
      finish(handler);
      putAnotherWhereItLay(stale);

      assertThat(engine.claim(a, handler, 10)).singleElement().isNotEqualTo(stale);
      assertThat(engine.store().acknowledge(a, WORKER, List.of(stale), new SessionStore().state(a)))
          .isZero();
      assertThat(engine.store().settle(a, WORKER, stale, retry())).isFalse();
      assertThat(engine.store().settle(a, WORKER, stale, Settlement.cancel("test"))).isFalse();
      a.commit();
    }
    assertThat(engine.rows("select attempt from cortex.deliveries")).containsExactly("0");
    assertThat(engine.number("select count(*) from cortex.attempts")).isEqualTo(1);
  }

  private void finish(short handler) throws SQLException {
    try (Connection b = engine.begin()) {
      assertThat(
              engine
                  .store()
                  .acknowledge(
                      b, WORKER, engine.claim(b, handler, 10), new SessionStore().state(b)))
          .isEqualTo(1);
      b.commit();
    }
  }

  private void putAnotherWhereItLay(Delivery stale) {
    await()
        .atMost(TestEngine.PATIENCE)
        .until(
            () -> {
              engine.run("delete from cortex.deliveries");
              engine.run("vacuum cortex.deliveries");
              engine.emit(TYPE, 1);
              return engine.text("select ctid from cortex.deliveries").equals(stale.tid());
            });
  }

  private static Settlement retry() {
    return Settlement.retry("handler_failed", "test", Duration.ofHours(1));
  }

  /** One event of a batch fails: it is charged, and its mates are not. */
  @Test
  void interleaving_1_a_redo_charges_the_event_that_failed() throws Exception {
    engine.subscribe("charged", TYPE);
    engine.emit(TYPE, 5);
    HandlerDefinition failsAtThree =
        HandlerDefinition.oneByOne(
                "charged",
                (event, context) -> {
                  TestEngine.effect("charged", event, context);
                  if (TestEngine.n(event) == 3 && context.attempt() == 1) {
                    throw new IllegalStateException("third");
                  }
                  return Outcome.done();
                })
            .on(TYPE)
            .withRetry(TestEngine.QUICK);
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(List.of(failsAtThree));
      engine.awaitNumber(5, "select count(*) from cortex.attempts where outcome = 'done'");
    }
    assertThat(engine.rows(TestEngine.ATTEMPTS, "charged"))
        .containsExactly(
            "0 done 1", "1 done 1", "2 done 1", "3 retry 1 handler_failed", "3 done 2", "4 done 1");
    assertThat(engine.rows("select attempt from effects order by attempt"))
        .containsExactly("1", "1", "1", "1", "2");
  }

  /** Between a batch's rollback and its redo, its rows are anybody's. */
  @Test
  void interleaving_1_what_somebody_else_took_before_the_redo_is_left_to_them() throws Exception {
    short handler = engine.subscribe("redo", TYPE);
    engine.emit(TYPE, 2);
    CountDownLatch redoing = new CountDownLatch(1);
    CountDownLatch othersAreDone = new CountDownLatch(1);
    AtomicBoolean isFirst = new AtomicBoolean(true);
    HandlerDefinition definition =
        HandlerDefinition.oneByOne(
                "redo",
                (event, context) -> {
                  if (TestEngine.n(event) == 0 && isFirst.getAndSet(false)) {
                    throw new IllegalStateException("the batch fails");
                  }
                  if (TestEngine.n(event) == 0 && redoing.getCount() > 0) {
                    redoing.countDown();
                    othersAreDone.await();
                  }
                  return TestEngine.effect("redo", event, context);
                })
            .on(TYPE)
            .withRetry(TestEngine.QUICK);
    try (CortexEvents cortex = engine.connect();
        Connection other = engine.begin()) {
      cortex.work(List.of(definition), WorkerOptions.defaults().withSlots(1));
      redoing.await();
      List<Delivery> taken = engine.claim(other, handler, 10);
      assertThat(taken).hasSize(1);
      TestEngine.run(other, "insert into effects values ('other', 'one')");
      assertThat(engine.store().acknowledge(other, WORKER, taken, new SessionStore().state(other)))
          .isEqualTo(1);
      other.commit();
      othersAreDone.countDown();
      engine.awaitNumber(2, "select count(*) from cortex.attempts where outcome = 'done'");
      engine.awaitNumber(0, "select count(*) from cortex.deliveries");
    }
    assertThat(engine.rows("select handler from effects order by 1"))
        .containsExactly("other", "redo");
  }

  /** A row that changed hands meanwhile is not the row that was seen. */
  @Test
  void interleaving_1_a_delivery_is_locked_again_only_as_it_was_seen() throws SQLException {
    short handler = engine.subscribe("again", TYPE);
    engine.emit(TYPE, 1);
    try (Connection a = engine.begin();
        Connection b = engine.begin()) {
      Delivery seen = engine.claim(a, handler, 10).get(0);
      a.rollback();
      Delivery held = engine.claim(b, handler, 10).get(0);
      assertThat(engine.store().reclaim(a, seen)).as("held by another").isEmpty();
      a.rollback();
      assertThat(engine.store().settle(b, WORKER, held, retry())).isTrue();
      b.commit();
      assertThat(engine.store().reclaim(a, seen)).as("charged by another").isEmpty();
    }
  }

  /** Its own transaction is lost, and with it its place; somebody else has that by now. */
  @Test
  void a_delivery_of_a_limited_handler_is_settled_also_when_all_places_are_taken()
      throws SQLException {
    short handler = engine.subscribe("limited", TYPE);
    engine.run("select cortex.limit_handler('limited', 1, 'test')");
    engine.emit(TYPE, 2);
    try (Connection a = engine.begin();
        Connection b = engine.begin()) {
      Delivery seen = engine.claim(a, handler, 1).get(0);
      assertThat(engine.store().claim(b, handler, ClaimWindow.everything(), 1).hasPlace())
          .isFalse();
      b.rollback();
      a.rollback();
      try (Connection holder = engine.begin()) {
        TestEngine.run(holder, "select from cortex.handler_places for no key update");
        assertThat(engine.store().reclaim(a, seen)).as("to run it").isEmpty();
        a.rollback();
        Delivery locked = engine.store().reclaimToSettle(a, seen).orElseThrow();
        assertThat(engine.store().settle(a, WORKER, locked, retry())).isTrue();
        a.commit();
      }
    }
    assertThat(engine.rows("select attempt from cortex.deliveries order by event"))
        .containsExactly("1", "0");
  }

  /** The original and a replay of one event are held by two workers at once. */
  @Test
  void interleaving_4_a_delivery_and_its_replay_are_acknowledged_each_by_itself()
      throws SQLException {
    short handler = engine.subscribe("replayed", TYPE);
    engine.emit(TYPE, 1);
    replay();
    try (Connection a = engine.begin();
        Connection b = engine.begin()) {
      List<Delivery> first = engine.claim(a, handler, 1);
      List<Delivery> second = engine.claim(b, handler, 1);
      assertThat(first.get(0).number()).isEqualTo(second.get(0).number());
      assertThat(engine.store().acknowledge(a, WORKER, first, new SessionStore().state(a)))
          .isEqualTo(1);
      a.commit();
      assertThat(engine.store().settle(b, WORKER, second.get(0), retry())).isTrue();
      b.commit();
      assertThat(engine.text("select generation || ' ' || attempt from cortex.deliveries"))
          .isEqualTo(second.get(0).generation() + " 1");
    }
    assertThat(
            engine.rows(
                "select generation || ' ' || outcome from cortex.attempts order by outcome"))
        .containsExactlyInAnyOrder("0 done", "1 retry");
  }

  @Test
  void interleaving_4_the_handler_and_the_audit_see_the_generation() throws Exception {
    engine.subscribe("shown", TYPE);
    engine.emit(TYPE, 1);
    replay();
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(
          List.of(
              HandlerDefinition.oneByOne(
                      "shown", (event, context) -> TestEngine.effect("shown", event, context))
                  .on(TYPE)));
      engine.awaitNumber(2, "select count(*) from cortex.attempts");
    }
    assertThat(engine.rows("select generation from effects order by 1")).containsExactly("0", "1");
    assertThat(engine.rows("select generation || ' ' || outcome from cortex.attempts order by 1"))
        .containsExactly("0 done", "1 done");
  }

  /** As a replay does, with a generation of its own. */
  private void replay() throws SQLException {
    engine.run(
        """
        insert into cortex.deliveries (handler_id, priority, run_at, event, event_at, generation)
        select handler_id, priority, run_at, event, event_at, 1 from cortex.deliveries
        """);
  }

  /** A hundred orphans at the head of the queue, five hundred good rows behind them. */
  @Test
  void interleaving_5_deliveries_whose_events_are_gone_die_and_block_nothing() throws Exception {
    engine.subscribe("orphaned", TYPE);
    engine.emit(TYPE, 600);
    dropTheFirstHundredEvents();
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(
          List.of(
              HandlerDefinition.oneByOne(
                      "orphaned", (event, context) -> TestEngine.effect("orphaned", event, context))
                  .on(TYPE)));
      engine.awaitNumber(600, "select count(*) from cortex.attempts");
    }
    assertThat(engine.number("select count(distinct event_id) from effects")).isEqualTo(500);
    assertThat(
            engine.rows(
                "select outcome || ' ' || reason || ' ' || attempt || ' ' || count(*) from cortex.attempts"
                    + " where outcome <> 'done' group by outcome, reason, attempt"))
        .containsExactly("dead event_gone 1 100");
    assertThat(engine.number("select count(*) from cortex.deliveries where run_at = 'infinity'"))
        .isEqualTo(100);
  }

  @Test
  void interleaving_5_a_batch_handler_never_sees_an_event_that_is_gone() throws Exception {
    engine.subscribe("gone", TYPE);
    engine.emit(TYPE, 100);
    dropTheFirstHundredEvents();
    AtomicBoolean wasCalled = new AtomicBoolean();
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(
          List.of(
              HandlerDefinition.batch("gone", (events, context) -> wasCalled.set(true)).on(TYPE)));
      engine.awaitNumber(
          100, "select count(*) from cortex.attempts where reason = 'event_gone' and attempt = 1");
    }
    assertThat(wasCalled).isFalse();
  }

  private void dropTheFirstHundredEvents() throws SQLException {
    engine.run(
        "delete from cortex.events where id in (select id from cortex.events order by id limit 100)");
  }
}
