package dev.cortex.events.interleaving;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.delivery.SessionStore;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Priority;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Order;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.telemetry.EngineEvent.PartFailed;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

/** A handler that gets what it missed: all of it, once, at a rate. */
@ExtendWith(PostgresExtension.class)
@Timeout(120)
class BackfillTest {
  private static final String TYPE = "test.backfilled";
  private static final String OLD = "old";
  private static final String NEW = "new";

  private static final String DELIVERIES =
      """
      select count(*)
        from cortex.deliveries d
        join cortex.handlers h using (handler_id)
       where h.name = ?
      """;

  /** What the new handler has of each event: an open delivery or a finished one. */
  private static final String DELIVERED =
      """
      select count(*)
        from cortex.events e
       where exists (select from cortex.deliveries d join cortex.handlers h using (handler_id)
                      where h.name = 'new' and d.event = e.id)
          or exists (select from cortex.attempts a join cortex.handlers h using (handler_id)
                      where h.name = 'new' and a.event = e.id)
      """;

  private static final String STATE =
      "select state from cortex.backfill_status order by backfill_id desc limit 1";

  private final TestEngine engine;

  BackfillTest(TestDatabase database) {
    this.engine = new TestEngine(database);
  }

  @BeforeEach
  void clear() throws SQLException {
    engine.clear();
    engine.subscribe(OLD, TYPE);
  }

  private void backfill() throws SQLException {
    engine.text("select cortex.backfill('new', 'missed them', rate => 10000)");
  }

  private void step() throws SQLException {
    engine.rows("select made from cortex.step_backfills()");
  }

  private void stepUntil(String state) {
    await()
        .atMost(TestEngine.PATIENCE)
        .until(
            () -> {
              step();
              return engine.text(STATE).equals(state);
            });
  }

  /** The emitter saw the subscriptions of before, and commits after everything else. */
  @Test
  void interleaving_3_an_emitter_that_was_open_when_a_handler_subscribed_loses_it_no_event()
      throws SQLException {
    engine.emit(TYPE, 3);
    try (Connection emitter = engine.begin()) {
      engine.emit(emitter, TYPE, 2);
      engine.subscribe(NEW, TYPE);
      backfill();
      stepUntil("waiting");
      assertThat(engine.number(DELIVERIES, NEW)).isEqualTo(3);
      for (int n = 0; n < 5; n++) {
        step();
      }
      assertThat(engine.text(STATE)).isEqualTo("waiting");

      emitter.commit();
    }
    stepUntil("finished");
    assertThat(engine.number(DELIVERIES, NEW)).isEqualTo(5);
    assertThat(engine.number(DELIVERED)).isEqualTo(5);
  }

  /** It has no number of a transaction yet; all that tells of it is its snapshot. */
  @Test
  void interleaving_3_an_emitter_with_a_snapshot_older_than_the_subscription_loses_it_no_event()
      throws SQLException {
    engine.emit(TYPE, 1);
    try (Connection emitter = engine.session()) {
      emitter.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
      emitter.setAutoCommit(false);
      TestEngine.text(emitter, "select count(*) from cortex.events");
      engine.subscribe(NEW, TYPE);
      backfill();
      stepUntil("waiting");
      engine.emit(emitter, TYPE, 1);
      step();
      step();
      assertThat(engine.text(STATE)).isEqualTo("waiting");
      emitter.commit();
    }
    assertThat(engine.number(DELIVERIES, OLD)).isEqualTo(2);
    stepUntil("finished");
    assertThat(engine.number(DELIVERIES, NEW)).isEqualTo(2);
  }

  /** Emitters and workers at full speed, beside a handler that subscribes and is back-filled. */
  @Test
  void interleaving_3_beside_emitters_and_workers_every_event_is_handled_once() throws Exception {
    HandlerDefinition handler =
        HandlerDefinition.oneByOne(NEW, (event, context) -> TestEngine.effect(NEW, event, context))
            .on(TYPE);
    List<Thread> emitters =
        IntStream.range(0, 3).mapToObj(n -> new Thread(this::emitMany)).toList();
    try (CortexEvents cortex = engine.connect()) {
      emitters.forEach(Thread::start);
      await()
          .atMost(TestEngine.PATIENCE)
          .until(() -> engine.number("select count(*) from cortex.events") > 100);
      cortex.work(List.of(handler));
      backfill();
      for (Thread emitter : emitters) {
        emitter.join();
      }
      await().atMost(TestEngine.PATIENCE).until(() -> engine.text(STATE).equals("finished"));
      engine.awaitNumber(0, DELIVERIES, NEW);
    }
    assertThat(engine.number("select count(distinct event_id) from effects")).isEqualTo(900);
    assertThat(engine.number("select count(*) from effects")).isEqualTo(900);
  }

  private void emitMany() {
    try (Connection connection = engine.begin()) {
      for (int n = 0; n < 100; n++) {
        engine.emit(connection, TYPE, 3);
        connection.commit();
      }
    } catch (SQLException e) {
      throw new IllegalStateException(e);
    }
  }

  @Test
  void interleaving_4_what_has_a_delivery_or_an_end_is_not_made_again() throws SQLException {
    engine.emit(TYPE, 5);
    short handler = engine.subscribe(NEW, TYPE);
    backfill();
    stepUntil("finished");
    engine.run("delete from cortex.deliveries where handler_id = ? and event % 5 = 0", handler);
    try (Connection worker = engine.begin()) {
      var state = new SessionStore().state(worker);
      assertThat(engine.store().acknowledge(worker, 1, engine.claim(worker, handler, 2), state))
          .isEqualTo(2);
      worker.commit();
    }
    engine.run(
        """
        with cancelled as (
          delete from cortex.deliveries
           where ctid = (select ctid from cortex.deliveries where handler_id = ? limit 1)
          returning *)
        insert into cortex.attempts (event, event_at, started_at, outcome, handler_id, generation, attempt)
        select event, event_at, now(), 'cancel', handler_id, generation, 0 from cancelled
        """,
        handler);
    assertThat(engine.number(DELIVERIES, NEW)).isEqualTo(1);

    backfill();
    stepUntil("finished");
    assertThat(engine.number(DELIVERIES, NEW)).as("the open one, and the lost one").isEqualTo(2);
    assertThat(engine.number("select made from cortex.backfills order by 1 limit 1")).isEqualTo(1);
    assertThat(engine.number("select count(distinct event) from cortex.deliveries")).isEqualTo(5);
  }

  @Test
  void a_step_makes_no_more_than_it_may_and_the_next_one_goes_on() throws SQLException {
    engine.emit(TYPE, 30);
    engine.subscribe(NEW, TYPE);
    backfill();
    engine.run("update cortex.backfills set paced_to = now() - interval '1 h'");
    assertThat(engine.text("select made from cortex.step_backfills(7)")).isEqualTo("7");
    assertThat(engine.number("select made from cortex.backfills")).isEqualTo(7);
    assertThat(engine.number(DELIVERIES, NEW)).isEqualTo(7);
    stepUntil("finished");
    assertThat(engine.number(DELIVERIES, NEW)).isEqualTo(30);
  }

  @Test
  void a_step_looks_at_twenty_thousand_events_at_most() throws SQLException {
    engine.run(
        "insert into cortex.events (type, source, log_only)"
            + " select ?, 'test', true from generate_series(1, 25000)",
        TYPE);
    engine.subscribe(NEW, TYPE);
    backfill();
    engine.run("update cortex.backfills set paced_to = now() - interval '1 h'");
    step();
    assertThat(
            engine.number(
                "select count(*) from cortex.events where id <= (select position from cortex.backfills)"))
        .isGreaterThan(10_000)
        .isLessThanOrEqualTo(20_000);
    stepUntil("finished");
    assertThat(engine.number(DELIVERIES, NEW)).as("an import recorded them only").isZero();
    engine.text("select cortex.backfill('new', 'those too', rate => 10000, imported => true)");
    await()
        .atMost(TestEngine.PATIENCE)
        .until(
            () -> {
              step();
              return engine.number(DELIVERIES, NEW) > 2_000;
            });
  }

  /** Both sides of it are measured by the database. */
  @Test
  void workers_keep_to_the_rate() throws Exception {
    engine.emit(TYPE, 60);
    engine.subscribe(NEW, TYPE);
    try (CortexEvents first = engine.connect();
        CortexEvents second = engine.connect()) {
      first.work(List.of(doing(OLD)));
      second.work(List.of(doing(OLD)));
      engine.text("select cortex.backfill('new', 'slowly', rate => 20)");
      await().atMost(TestEngine.PATIENCE).until(() -> engine.text(STATE).equals("finished"));
    }
    assertThat(engine.number(DELIVERIES, NEW)).isEqualTo(60);
    assertThat(
            engine.text(
                "select made <= rate * (1 + extract(epoch from ended_at - requested_at)) from cortex.backfills"))
        .isEqualTo("t");
  }

  private static HandlerDefinition doing(String name) {
    return HandlerDefinition.oneByOne(name, (event, context) -> Outcome.done()).on(TYPE);
  }

  @Test
  void live_deliveries_go_before_back_filled_ones() throws SQLException {
    engine.emit(EventDraft.of(TYPE, "test").withPriority(Priority.CRITICAL));
    short handler = engine.subscribe(NEW, TYPE);
    backfill();
    stepUntil("finished");
    String live = engine.emit(EventDraft.of(TYPE, "test"));
    try (Connection worker = engine.begin()) {
      assertThat(engine.claim(worker, handler, 1))
          .singleElement()
          .satisfies(first -> assertThat(first.event().orElseThrow().id()).isEqualTo(live));
    }
  }

  @Test
  void the_events_of_a_range_and_of_the_subscription_only() throws SQLException {
    engine.emit(TYPE, 2);
    String from = engine.text("select clock_timestamp()");
    engine.emit(TYPE, 3);
    engine.run(
        "insert into cortex.event_types (type) values ('test.not_subscribed') on conflict do nothing");
    engine.emit("test.not_subscribed", 4);
    String to = engine.text("select clock_timestamp()");
    engine.emit(TYPE, 5);
    engine.subscribe(NEW, TYPE);
    engine.text(
        "select cortex.backfill('new', 'those three', since => ?::timestamptz, until => ?::timestamptz, rate => 10000)",
        from,
        to);
    stepUntil("finished");
    assertThat(engine.number(DELIVERIES, NEW)).isEqualTo(3);
  }

  @Test
  void an_event_of_a_paused_type_is_held() throws SQLException {
    engine.emit(TYPE, 1);
    engine.text("select cortex.pause_type(?, 'flood')", TYPE);
    engine.subscribe(NEW, TYPE);
    backfill();
    stepUntil("finished");
    assertThat(
            engine.text(
                "select lane from cortex.deliveries d join cortex.handlers h using (handler_id) where h.name = 'new'"))
        .isEqualTo("-1");
    engine.text("select cortex.resume_type(?, 'over')", TYPE);
  }

  @Test
  void an_unknown_type_goes_to_the_patterns_that_match_it() throws SQLException {
    engine.runAsSuperuser("update cortex.settings set allow_unknown_types = true");
    try {
      engine.emit("test.nobody_knows_it", 1);
    } finally {
      engine.runAsSuperuser("update cortex.settings set allow_unknown_types = false");
    }
    engine.subscribe(NEW, "test.known_to_subscribe");
    engine.run(
        "insert into cortex.subscriptions (handler_id, pattern)"
            + " select handler_id, 'test.*' from cortex.handlers where name = 'new'");
    backfill();
    stepUntil("finished");
    assertThat(engine.number(DELIVERIES, NEW)).isEqualTo(1);
  }

  /** Paused until it has all, an ordered handler has old and new ones in one order. */
  @Test
  void an_ordered_handler_that_is_paused_meanwhile_gets_all_of_a_key_in_order() throws Exception {
    for (int n = 0; n < 20; n++) {
      engine.emit(
          EventDraft.of(TYPE, "test").withKey("k" + n % 2).withPayload("{\"n\": " + n + "}"));
    }
    HandlerDefinition ordered =
        HandlerDefinition.oneByOne(NEW, (event, context) -> TestEngine.effect(NEW, event, context))
            .on(TYPE)
            .ordered(Order.byKey().withLanes(2));
    engine.runAsSuperuser(
        "alter table effects add column if not exists seq bigserial; grant usage on sequence effects_seq_seq to public");
    engine.subscribeOrdered(NEW, TYPE, 2, "hold");
    engine.text("select cortex.pause_handler('new', 'until it has all')");
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(List.of(ordered));
      engine.emit(EventDraft.of(TYPE, "test").withKey("k0").withPayload("{\"n\": 20}"));
      backfill();
      await().atMost(TestEngine.PATIENCE).until(() -> engine.text(STATE).equals("finished"));
      engine.text("select cortex.resume_handler('new', 'it has')");
      engine.awaitNumber(21, "select count(*) from effects");
    }
    assertThat(
            engine.rows(
                """
                select distinct e.key
                  from (select e.key, e.id, max(e.id) over (partition by e.key order by f.seq) as highest
                          from effects f
                          join cortex.events e
                            on cortex.public_event_id(e.id, e.received_at) = f.event_id) e
                 where e.id < e.highest
                """))
        .as("keys that were handled out of order")
        .isEmpty();
  }

  /** The mark of a lane is past the old events: only another version of it makes workers look. */
  @Test
  void a_lane_that_gets_back_filled_events_has_another_version() throws SQLException {
    engine.emit(EventDraft.of(TYPE, "test").withKey("k"));
    short handler = engine.subscribeOrdered(NEW, TYPE, 1, "hold");
    backfill();
    stepUntil("finished");
    assertThat(engine.number("select version from cortex.lanes where handler_id = ?", handler))
        .isEqualTo(1);
  }

  @Test
  void a_lane_that_is_worked_is_left_to_a_later_step() throws SQLException {
    engine.emit(EventDraft.of(TYPE, "test").withKey("k"));
    short handler = engine.subscribeOrdered(NEW, TYPE, 1, "hold");
    backfill();
    try (Connection worker = engine.begin()) {
      TestEngine.text(
          worker,
          "select version from cortex.lanes where handler_id = ? for no key update",
          handler);
      step();
      step();
      assertThat(engine.number(DELIVERIES, NEW)).isZero();
      assertThat(engine.text(STATE)).isEqualTo("running");
      worker.rollback();
    }
    stepUntil("finished");
    assertThat(engine.number(DELIVERIES, NEW)).isEqualTo(1);
  }

  /** Each is a transaction of its own. */
  @Test
  void a_back_fill_that_fails_holds_up_no_other_and_is_told_by_its_handlers_name()
      throws Exception {
    engine.emit(TYPE, 5);
    short failing = engine.subscribe("failing", TYPE);
    engine.subscribe(NEW, TYPE);
    engine.runAsSuperuser(
        """
        create function fail() returns trigger language plpgsql as
          $$ begin raise exception 'no deliveries for this handler' using errcode = 'check_violation'; end $$;
        create trigger fail before insert on cortex.deliveries for each row when (new.handler_id = %d)
          execute function fail()
        """
            .formatted(failing));
    List<PartFailed> told = new CopyOnWriteArrayList<>();
    try (CortexEvents cortex =
        engine.connect(
            event -> {
              if (event instanceof PartFailed failed) {
                told.add(failed);
              }
            })) {
      engine.text("select cortex.backfill('failing', 'missed them', rate => 10000)");
      backfill();
      cortex.work(
          List.of(HandlerDefinition.oneByOne(NEW, (event, context) -> Outcome.done()).on(TYPE)));
      engine.awaitNumber(
          1,
          "select count(*) from cortex.backfill_status where handler = 'new' and state = 'finished'");
      engine.awaitNumber(5, "select count(*) from cortex.attempts where outcome = 'done'");
      await().atMost(TestEngine.PATIENCE).until(() -> !told.isEmpty());
      assertThat(told).extracting(PartFailed::part).containsOnly("backfill-failing");
      assertThat(engine.number(DELIVERIES, "failing")).isZero();

      engine.runAsSuperuser("drop trigger fail on cortex.deliveries; drop function fail()");
      engine.awaitNumber(
          0, "select count(*) from cortex.backfill_status where state <> 'finished'");
      assertThat(engine.number(DELIVERIES, "failing")).isEqualTo(5);
    }
  }

  @Test
  void a_step_may_be_of_one_handler_only() throws SQLException {
    engine.emit(TYPE, 1);
    engine.subscribe("other", TYPE);
    engine.subscribe(NEW, TYPE);
    engine.text("select cortex.backfill('other', 'missed them', rate => 10000)");
    backfill();
    engine.run("update cortex.backfills set paced_to = now() - interval '1 h'");
    assertThat(engine.rows("select handler from cortex.step_backfills(only_handler => 'new')"))
        .containsExactly("new");
    assertThat(engine.number(DELIVERIES, NEW)).isEqualTo(1);
    assertThat(engine.number(DELIVERIES, "other")).isZero();
    assertThat(engine.rows("select handler from cortex.step_backfills()")).contains("new", "other");
  }

  /** Retention looks, a delivery of an old event is made, the event is dropped: an orphan. */
  @Test
  void interleaving_5_a_step_waits_for_who_takes_events_out_of_the_log() throws Exception {
    engine.emit(TYPE, 2);
    engine.run("delete from cortex.deliveries");
    engine.subscribe(NEW, TYPE);
    backfill();
    engine.run("update cortex.backfills set paced_to = now() - interval '1 h'");
    try (Connection retention = engine.begin();
        Connection worker = engine.begin()) {
      TestEngine.text(retention, "select pg_advisory_xact_lock(cortex.log_lock_key())");
      TestEngine.run(
          retention, "delete from cortex.events where id = (select min(id) from cortex.events)");
      Thread step =
          new Thread(
              () -> {
                try {
                  TestEngine.text(worker, "select made from cortex.step_backfills()");
                  worker.commit();
                } catch (SQLException e) {
                  throw new IllegalStateException(e);
                }
              });
      step.start();
      engine.awaitBlocked(worker);
      retention.commit();
      step.join();
    }
    stepUntil("finished");
    assertThat(engine.number(DELIVERIES, NEW)).isEqualTo(1);
    assertThat(
            engine.number(
                "select count(*) from cortex.deliveries d where not exists (select from cortex.events e where e.id = d.event)"))
        .as("orphans")
        .isZero();
  }

  @Test
  void old_events_are_not_delivered_by_an_older_snapshot() throws SQLException {
    engine.emit(TYPE, 1);
    engine.subscribe(NEW, TYPE);
    backfill();
    engine.run("update cortex.backfills set paced_to = now() - interval '1 h'");
    try (Connection session = engine.session()) {
      session.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
      session.setAutoCommit(false);
      assertThatThrownBy(() -> TestEngine.text(session, "select made from cortex.step_backfills()"))
          .hasMessageContaining("READ COMMITTED");
    }
  }
}
