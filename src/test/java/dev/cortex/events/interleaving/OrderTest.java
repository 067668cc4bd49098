package dev.cortex.events.interleaving;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Priority;
import dev.cortex.events.handler.EventHandler;
import dev.cortex.events.handler.HandlerContext;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Order;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.worker.Worker;
import dev.cortex.events.worker.WorkerOptions;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Interleaving 2, ordered lanes: what could reorder the events of a key, and what must not make one
 * key wait for another.
 */
@ExtendWith(PostgresExtension.class)
@Timeout(180)
class OrderTest {
  private static final String TYPE = "test.order";
  private static final String OTHER_TYPE = "test.order_too";

  /** Handled before an earlier event of its key. */
  private static final String VIOLATIONS =
      """
      select count(*)
        from (select event < max(event) over (partition by key order by seq
                                              rows between unbounded preceding and 1 preceding) as is_late
                from handled) h
       where is_late
      """;

  private static final String HANDLED = "select count(distinct event) from handled";
  private static final String HANDLED_OF =
      "select coalesce(string_agg(e.payload ->> 'n', ' ' order by h.seq), '') from handled h"
          + " join cortex.events e on e.id = h.event where h.key = ?";

  private final TestEngine engine;

  OrderTest(TestDatabase database) {
    this.engine = new TestEngine(database);
  }

  @BeforeEach
  void clear() throws SQLException {
    engine.clear();
    engine.runAsSuperuser(
        """
        create table if not exists handled (seq bigserial, key text, event bigint, event_id text);
        grant all on handled to public;
        grant all on sequence handled_seq_seq to public;
        truncate handled""");
  }

  /** Its effect, by the number of its delivery. */
  private static Outcome handled(Event event, HandlerContext context) throws SQLException {
    TestEngine.run(
        context.connection(),
        "insert into handled (key, event, event_id) select ?, id, ? from cortex.locate_event(?)",
        event.key().orElse("-"),
        event.id(),
        event.id());
    return Outcome.done();
  }

  private static HandlerDefinition ordered(EventHandler handler) {
    return HandlerDefinition.oneByOne("ordered", handler)
        .on(TYPE)
        .withRetry(TestEngine.QUICK)
        .ordered(Order.byKey().withLanes(4));
  }

  private static EventDraft draft(String key, int n) {
    return EventDraft.of(TYPE, "test").withKey(key).withPayload("{\"n\": " + n + "}");
  }

  private short subscribe(String whenDead) throws SQLException {
    return engine.subscribeOrdered("ordered", TYPE, 4, whenDead);
  }

  /** Events 0, 1, … of each of the keys k0, k1, …, interleaved. */
  private void emit(int keys, int eventsOfEach) throws SQLException {
    List<EventDraft> drafts = new ArrayList<>();
    for (int n = 0; n < eventsOfEach; n++) {
      for (int key = 0; key < keys; key++) {
        drafts.add(draft("k" + key, n));
      }
    }
    try (Connection connection = engine.session()) {
      engine.emitAll(connection, drafts);
    }
  }

  /** Each of every tenth event's first two attempts fails. */
  private static Outcome failingSometimes(Event event, HandlerContext context) throws SQLException {
    return Math.floorMod(event.id().hashCode(), 10) == 0 && context.attempt() <= 2
        ? Outcome.retry("so it is")
        : handled(event, context);
  }

  @ParameterizedTest(name = "{0} workers")
  @ValueSource(ints = {1, 2, 3})
  void interleaving_2_order_holds_with_failing_heads(int workers) throws Exception {
    subscribe("hold");
    emit(40, 50);
    List<CortexEvents> all = new ArrayList<>();
    try {
      for (int i = 0; i < workers; i++) {
        CortexEvents cortex = engine.connect();
        all.add(cortex);
        cortex.work(List.of(ordered(OrderTest::failingSometimes)));
      }
      engine.awaitNumber(2000, HANDLED);
      // A key is let go after its last event, at the next look at its lane.
      engine.awaitNumber(0, "select count(*) from cortex.blocked_keys");
    } finally {
      all.forEach(CortexEvents::close);
    }
    assertThat(engine.number(VIOLATIONS)).isZero();
    assertThat(engine.number("select count(*) from handled")).isEqualTo(2000);
    assertThat(engine.number("select count(*) from cortex.deliveries")).isZero();
    assertThat(engine.number("select count(*) from cortex.blocked_keys")).isZero();
  }

  /** Whoever waits for the log has every emitter behind it wait, too. */
  @Test
  void an_order_that_has_to_wait_for_an_open_emitter_keeps_no_other_emitter_waiting()
      throws Exception {
    short handler = engine.subscribe("ordered", TYPE);
    engine.run(
        "insert into cortex.event_types (type) values (?) on conflict do nothing", OTHER_TYPE);
    AtomicInteger refused = new AtomicInteger();
    AtomicBoolean isOver = new AtomicBoolean();
    try (Connection open = engine.begin();
        Connection other = engine.session()) {
      engine.emit(open, OTHER_TYPE, 1);
      CompletableFuture<Void> ordering =
          CompletableFuture.runAsync(
              () -> {
                while (!isOver.get()) {
                  assertThatThrownBy(
                          () ->
                              engine.text(
                                  "select cortex.order_handler(?, 4::smallint, 'hold', '{}')",
                                  handler))
                      .hasMessageContaining("lock timeout");
                  refused.incrementAndGet();
                }
              });
      TestEngine.run(other, "set lock_timeout = '1s'");
      while (refused.get() < 5 && !ordering.isDone()) {
        engine.emit(other, OTHER_TYPE, 1);
      }
      isOver.set(true);
      ordering.join();
      open.rollback();
    }
    assertThat(engine.number("select cortex.order_handler(?, 4::smallint, 'hold', '{}')", handler))
        .isEqualTo(4);
  }

  /** While events go on coming, and a snapshot keeps every dead row. */
  @Test
  void interleaving_2_order_holds_under_a_held_snapshot() throws Exception {
    subscribe("hold");
    try (Connection snapshot = engine.begin();
        CortexEvents one = engine.connect();
        CortexEvents two = engine.connect()) {
      snapshot.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
      TestEngine.text(snapshot, "select count(*) from cortex.deliveries");
      one.work(List.of(ordered(OrderTest::failingSometimes)));
      two.work(List.of(ordered(OrderTest::failingSometimes)));
      for (int i = 0; i < 20; i++) {
        emit(20, 5);
      }
      engine.awaitNumber(2000, HANDLED);
    }
    assertThat(engine.number(VIOLATIONS)).isZero();
  }

  /**
   * Event 0 of the key has its number, and is committed only after later numbers of other keys are
   * handled, and so is below where a mark would be. Event 1 comes after that commit.
   */
  @Test
  void interleaving_2_a_late_commit_comes_before_what_was_emitted_after_it() throws Exception {
    subscribe("hold");
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(List.of(ordered(OrderTest::handled)));
      for (int round = 1; round <= 30; round++) {
        String key = "late-" + round;
        try (Connection late = engine.begin()) {
          engine.emit(late, draft(key, 0));
          emit(20, 1);
          engine.awaitNumber(round * 22L - 2, HANDLED);
          late.commit();
        }
        engine.emit(draft(key, 1));
        engine.awaitNumber(round * 22L, HANDLED);
        assertThat(engine.text(HANDLED_OF, key)).isEqualTo("0 1");
      }
    }
    assertThat(engine.number("select count(*) from handled")).isEqualTo(660);
  }

  /** A later event of the key is blocked already when an earlier one is committed. */
  @Test
  void interleaving_2_a_late_commit_comes_before_the_event_that_blocks_its_key() throws Exception {
    subscribe("hold");
    AtomicBoolean isBroken = new AtomicBoolean(true);
    try (CortexEvents cortex = engine.connect();
        Connection late = engine.begin()) {
      cortex.work(
          List.of(
              ordered(
                  (event, context) ->
                      isBroken.get() && TestEngine.n(event) == 1
                          ? Outcome.retryIn(Duration.ofMillis(300), "not yet")
                          : handled(event, context))));
      engine.emit(late, draft("k", 0));
      engine.emit(draft("k", 1));
      engine.awaitNumber(1, "select count(*) from cortex.blocked_keys");
      emit(10, 1);
      engine.awaitNumber(10, HANDLED);
      isBroken.set(false);
      late.commit();
      engine.emit(draft("k", 2));
      engine.awaitNumber(13, HANDLED);
    }
    assertThat(engine.text(HANDLED_OF, "k")).isEqualTo("0 1 2");
  }

  /** The batch is redone one by one: what is behind the one that failed must not overtake it. */
  @Test
  void interleaving_2_a_redo_keeps_the_order() throws Exception {
    subscribe("hold");
    emit(3, 30);
    Set<String> failed = ConcurrentHashMap.newKeySet();
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(
          List.of(
              ordered(
                  (event, context) -> {
                    // Its first attempt, together and alone.
                    if (event.key().orElse("").equals("k1") && context.attempt() == 1) {
                      failed.add(event.id());
                      throw new IllegalStateException("the first time");
                    }
                    return handled(event, context);
                  })));
      engine.awaitNumber(90, HANDLED);
    }
    assertThat(failed).hasSize(30);
    assertThat(engine.number(VIOLATIONS)).isZero();
  }

  @Test
  void interleaving_2_a_batch_handler_gets_the_order_too() throws Exception {
    subscribe("hold");
    emit(10, 30);
    AtomicInteger calls = new AtomicInteger();
    HandlerDefinition batch =
        HandlerDefinition.batch(
                "ordered",
                (events, context) -> {
                  for (Event event : events) {
                    TestEngine.run(
                        context.connection(),
                        "insert into handled (key, event, event_id)"
                            + " select ?, id, ? from cortex.locate_event(?)",
                        event.key().orElseThrow(),
                        event.id(),
                        event.id());
                  }
                  if (calls.incrementAndGet() % 3 == 0) {
                    throw new IllegalStateException("every third time");
                  }
                })
            .on(TYPE)
            .withMaxBatch(7)
            .withRetry(TestEngine.QUICK)
            .ordered(Order.byKey().withLanes(4));
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(List.of(batch));
      engine.awaitNumber(300, HANDLED);
    }
    assertThat(engine.number(VIOLATIONS)).isZero();
  }

  /** One lane, so that the keys share it. */
  @Test
  void interleaving_2_a_dead_head_holds_its_key_alone_until_it_is_redriven() throws Exception {
    engine.subscribeOrdered("ordered", TYPE, 1, "hold");
    AtomicBoolean isBroken = new AtomicBoolean(true);
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(
          List.of(
              ordered(
                  (event, context) ->
                      isBroken.get()
                              && event.key().orElse("").equals("k0")
                              && TestEngine.n(event) == 3
                          ? Outcome.dead("broken")
                          : handled(event, context))));
      emit(3, 10);
      engine.awaitNumber(23, HANDLED);
      assertThat(engine.text(HANDLED_OF, "k0")).isEqualTo("0 1 2");
      assertThat(
              engine.text(
                  "select concat_ws(' ', handler, key, state, waiting, reason) from cortex.blocked"))
          .isEqualTo("ordered k0 dead 6 handler_dead");
      emit(3, 1);
      engine.awaitNumber(25, HANDLED);
      isBroken.set(false);
      engine.run("select cortex.redrive('ordered', 'mended')");
      engine.awaitNumber(33, HANDLED);
    }
    assertThat(engine.number(VIOLATIONS)).isZero();
    assertThat(engine.number("select count(*) from cortex.blocked_keys")).isZero();
  }

  @Test
  void interleaving_2_a_dead_head_that_is_cancelled_lets_its_key_go_on() throws Exception {
    subscribe("hold");
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(List.of(ordered(OrderTest::deadAtThree)));
      emit(2, 10);
      engine.awaitNumber(6, HANDLED);
      for (String event : engine.rows("select event_id from cortex.blocked")) {
        engine.run("select cortex.cancel(?, 'not needed')", event);
      }
      engine.awaitNumber(18, HANDLED);
    }
    assertThat(engine.number(VIOLATIONS)).isZero();
  }

  private static Outcome deadAtThree(Event event, HandlerContext context) throws SQLException {
    return TestEngine.n(event) == 3 ? Outcome.dead("broken") : handled(event, context);
  }

  @Test
  void interleaving_2_a_released_key_goes_on_without_its_head() throws Exception {
    subscribe("hold");
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(List.of(ordered(OrderTest::deadAtThree)));
      emit(2, 10);
      engine.awaitNumber(6, HANDLED);
      String head = engine.text("select event_id from cortex.blocked where key = 'k1'");
      assertThat(engine.text("select cortex.release_key('ordered', 'k1', 'go on')"))
          .isEqualTo(head);
      engine.awaitNumber(12, HANDLED);
    }
    assertThat(engine.text(HANDLED_OF, "k1")).isEqualTo("0 1 2 4 5 6 7 8 9");
    assertThat(engine.text(HANDLED_OF, "k0")).isEqualTo("0 1 2");
    assertThat(engine.number("select count(*) from cortex.dead_letters")).isEqualTo(2);
    assertThat(
            engine.text(
                "select concat_ws(' ', action, subject ->> 'key', reason) from cortex.operator_actions where subject ->> 'key' = 'k1'"))
        .isEqualTo("release k1 go on");
    assertThatThrownBy(() -> engine.run("select cortex.release_key('ordered', 'k1', 'again')"))
        .isInstanceOf(SQLException.class)
        .hasMessageContaining("key must be blocked");
  }

  @Test
  void interleaving_2_a_dead_head_that_is_skipped_says_so_in_the_audit() throws Exception {
    subscribe("skip");
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(List.of(skipping()));
      emit(2, 10);
      engine.awaitNumber(18, HANDLED);
    }
    assertThat(engine.text(HANDLED_OF, "k1")).isEqualTo("0 1 2 4 5 6 7 8 9");
    assertThat(
            engine.rows(
                "select concat_ws(' ', attempt, reason) from cortex.attempts"
                    + " where outcome = 'dead' order by finished_at, attempt"))
        .containsExactlyInAnyOrder(
            "0 key_skipped", "1 handler_dead", "0 key_skipped", "1 handler_dead");
    assertThat(engine.rows("select reason from cortex.dead_letters"))
        .containsExactly("handler_dead", "handler_dead");
    assertThat(engine.number("select count(*) from cortex.blocked_keys")).isZero();
  }

  @Test
  void interleaving_2_a_handler_that_begins_to_skip_dead_heads_goes_on_with_the_keys_they_held()
      throws Exception {
    subscribe("hold");
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(List.of(ordered(OrderTest::deadAtThree)));
      emit(2, 10);
      engine.awaitNumber(6, HANDLED);
      engine.awaitNumber(2, "select count(*) from cortex.blocked where state = 'dead'");
    }
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(List.of(skipping()));
      engine.awaitNumber(18, HANDLED);
    }
    assertThat(engine.text(HANDLED_OF, "k1")).isEqualTo("0 1 2 4 5 6 7 8 9");
    assertThat(engine.number(VIOLATIONS)).isZero();
    assertThat(engine.number("select count(*) from cortex.attempts where reason = 'key_skipped'"))
        .isEqualTo(2);
    assertThat(engine.number("select count(*) from cortex.dead_letters")).isEqualTo(2);
    assertThat(engine.number("select count(*) from cortex.blocked_keys")).isZero();
  }

  private static HandlerDefinition skipping() {
    return HandlerDefinition.oneByOne("ordered", OrderTest::deadAtThree)
        .on(TYPE)
        .ordered(Order.byKey().withLanes(4).withDead(Order.WhenDead.SKIP));
  }

  /** 5,000 events of one key in front, whose head is dead; the other key is behind them. */
  @Test
  void interleaving_2_what_is_blocked_in_front_blocks_nobody_behind_it() throws Exception {
    engine.subscribeOrdered("ordered", TYPE, 1, "hold");
    engine.run(
        "insert into cortex.events (type, source, key, payload)"
            + " select ?, 'test', 'blocked', jsonb_build_object('n', 3) from generate_series(1, 5000)",
        TYPE);
    engine.run(
        "insert into cortex.events (type, source, key, payload)"
            + " select ?, 'test', 'free', jsonb_build_object('n', 1) from generate_series(1, 50)",
        TYPE);
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(List.of(ordered(OrderTest::deadAtThree)));
      engine.awaitNumber(50, HANDLED);
    }
    assertThat(engine.number("select waiting from cortex.blocked")).isEqualTo(4999);
    assertThat(engine.number("select count(*) from cortex.attempts")).isEqualTo(51);
  }

  /**
   * What waits behind a dead letter is parked where no mark can pass it, an emitter being open.
   * Whatever an operator does to the dead letter, the rest of the key is handled in its order, and
   * what comes after it.
   */
  @ParameterizedTest(name = "{0}")
  @ValueSource(strings = {"redrive", "retry", "cancel", "release", "set_lanes", "hold"})
  void interleaving_2_what_is_parked_goes_on_in_its_order(String verb) throws Exception {
    engine.subscribeOrdered("ordered", TYPE, 1, "hold");
    AtomicBoolean isBroken = new AtomicBoolean(true);
    HandlerDefinition definition =
        ordered(
            (event, context) ->
                isBroken.get() && event.key().orElse("").equals("k1")
                    ? deadAtThree(event, context)
                    : handled(event, context));
    try (CortexEvents cortex = engine.connect();
        Connection open = engine.begin()) {
      engine.emit(open, draft("k0", 0));
      emit(2, 1000);
      Worker worker = cortex.work(List.of(definition));
      engine.awaitNumber(1003, HANDLED);
      assertThat(worker.awaitDrained(TestEngine.PATIENCE)).isTrue();
      assertThat(engine.number("select count(*) from cortex.deliveries where parked"))
          .isGreaterThan(900);
      open.rollback();
      isBroken.set(false);
      String head = engine.text("select event_id from cortex.blocked");
      switch (verb) {
        case "redrive" -> engine.run("select cortex.redrive('ordered', 'r')");
        case "retry" -> engine.run("select cortex.retry(?, 'ordered', 'r')", head);
        case "cancel" -> engine.run("select cortex.cancel(?, 'r')", head);
        case "release" -> engine.run("select cortex.release_key('ordered', 'k1', 'r')");
        case "set_lanes" -> {
          engine.run("select cortex.pause_handler('ordered', 'r')");
          assertThat(engine.number("select cortex.set_lanes('ordered', 1, 'r')")).isEqualTo(997);
          engine.run("select cortex.resume_handler('ordered', 'r')");
          engine.run("select cortex.redrive('ordered', 'r')");
        }
        default -> {
          engine.run("select cortex.pause_type(?, 'r')", TYPE);
          engine.awaitNumber(996, "select count(*) from cortex.deliveries where lane = -1");
          engine.run("select cortex.redrive('ordered', 'r')");
          engine.run("select cortex.resume_type(?, 'r')", TYPE);
        }
      }
      engine.emit(draft("k1", 1000));
      engine.awaitNumber(verb.equals("cancel") || verb.equals("release") ? 2000 : 2001, HANDLED);
    }
    assertThat(engine.number(VIOLATIONS)).isZero();
    assertThat(engine.number("select count(*) from cortex.deliveries where parked")).isZero();
  }

  /** A delayed event, a snoozed one, and one of another priority keep their places in their key. */
  @Test
  void interleaving_2_neither_time_nor_priority_changes_the_order_of_a_key() throws Exception {
    subscribe("hold");
    Instant soon = Instant.now().plusSeconds(3);
    engine.emit(draft("k", 0).withRunAt(soon));
    engine.emit(draft("k", 1));
    engine.emit(draft("k", 2).withPriority(Priority.CRITICAL));
    engine.emit(draft("other", 3));
    AtomicBoolean isSnoozed = new AtomicBoolean();
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(
          List.of(
              ordered(
                  (event, context) ->
                      TestEngine.n(event) == 1 && !isSnoozed.getAndSet(true)
                          ? Outcome.snooze(Duration.ofMillis(300))
                          : handled(event, context))));
      engine.awaitNumber(1, HANDLED);
      assertThat(engine.text(HANDLED_OF, "other")).isEqualTo("3");
      assertThat(engine.text("select concat_ws(' ', key, state, waiting) from cortex.blocked"))
          .isEqualTo("k scheduled 2");
      engine.awaitNumber(4, HANDLED);
    }
    assertThat(engine.text(HANDLED_OF, "k")).isEqualTo("0 1 2");
  }

  /** An operator's transaction holds the head: its key waits, the others go on. */
  @Test
  void interleaving_2_a_locked_head_is_not_stepped_over() throws Exception {
    engine.subscribeOrdered("ordered", TYPE, 1, "hold");
    emit(2, 5);
    try (Connection operator = engine.begin();
        CortexEvents cortex = engine.connect()) {
      TestEngine.run(
          operator,
          "select from cortex.deliveries where key = 'k0' order by event limit 1 for update");
      cortex.work(List.of(ordered(OrderTest::handled)));
      engine.awaitNumber(5, HANDLED);
      assertThat(engine.text(HANDLED_OF, "k1")).isEqualTo("0 1 2 3 4");
      operator.rollback();
      engine.awaitNumber(10, HANDLED);
    }
    assertThat(engine.number(VIOLATIONS)).isZero();
  }

  /** The dead head and its followers fill the first window; one of the next ten is locked. */
  @Test
  void interleaving_2_a_claim_passes_nothing_that_was_too_many() throws Exception {
    short handler = subscribeInOneLane();
    emit(1, 10);
    engine.run(
        "update cortex.deliveries set run_at = 'infinity' where key = 'k0' and event = (select min(event) from cortex.deliveries)");
    try (Connection emitter = engine.session()) {
      engine.emitAll(
          emitter, IntStream.range(0, 60).mapToObj(n -> draft("o" + n % 20, n)).toList());
    }
    try (Connection operator = engine.begin();
        Connection worker = engine.begin()) {
      TestEngine.run(
          operator,
          "select from cortex.deliveries where key = 'o4' order by event limit 1 for update");
      claim(worker, handler);
      assertThat(TestEngine.text(worker, "select count(*) from claimed")).isEqualTo("9");
      assertThat(
              TestEngine.text(
                  worker,
                  """
                  select count(*) from cortex.deliveries d
                   where d.event < (select max(scanned_to) from claimed)
                     and d.event not in (select event from claimed)
                     and d.key not in (select key from cortex.blocked_keys)
                  """))
          .as("open below the mark, and of no blocked key")
          .isEqualTo("0");
      operator.rollback();
      worker.rollback();
    }
  }

  @Test
  void interleaving_2_a_key_that_catches_up_is_claimed_once() throws Exception {
    short handler = subscribeInOneLane();
    emit(2, 3);
    engine.run(
        "insert into cortex.blocked_keys (handler_id, lane, key, event, blocked_until)"
            + " select handler_id, lane, key, min(event), now() - interval '1 second' from cortex.deliveries"
            + " where key = 'k0' group by handler_id, lane, key");
    try (Connection worker = engine.begin()) {
      claim(worker, handler);
      assertThat(
              TestEngine.text(
                  worker,
                  "select string_agg(key || ' ' || n, ', ' order by key, n) from (select key, count(*) as n from claimed group by key) c"))
          .isEqualTo("k0 3, k1 3");
      assertThat(TestEngine.text(worker, "select count(*) from cortex.blocked_keys"))
          .isEqualTo("0");
      worker.rollback();
    }
  }

  private short subscribeInOneLane() throws SQLException {
    return engine.subscribeOrdered("ordered", TYPE, 1, "hold");
  }

  /** Ten at most, into a table of the transaction's. */
  private static void claim(Connection worker, short handler) throws SQLException {
    TestEngine.run(worker, "select from cortex.lanes where handler_id = ? for update", handler);
    TestEngine.run(
        worker,
        "create temporary table claimed on commit drop as"
            + " select * from cortex.claim_in_lane(?::smallint, 1::smallint, 0, 1::bigint << 60, '-infinity', false, 10)",
        handler);
  }

  /** Pausing a type moves its deliveries away; those of its keys must not run ahead of them. */
  @Test
  void interleaving_2_a_held_type_holds_its_keys() throws Exception {
    engine.subscribe("ordered", OTHER_TYPE);
    subscribe("hold");
    engine.emit(draft("k", 0));
    engine.emit(EventDraft.of(OTHER_TYPE, "test").withKey("k").withPayload("{\"n\": 1}"));
    engine.emit(draft("k", 2));
    engine.emit(draft("other", 3));
    engine.run("select cortex.pause_type(?, 'r')", OTHER_TYPE);
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(List.of(ordered(OrderTest::handled).on(OTHER_TYPE)));
      engine.awaitNumber(2, HANDLED);
      engine.emit(draft("k", 4));
      engine.emit(draft("other", 5));
      engine.awaitNumber(3, HANDLED);
      assertThat(engine.text("select concat_ws(' ', key, state, waiting) from cortex.blocked"))
          .isEqualTo("k held 2");
      assertThatThrownBy(() -> engine.run("select cortex.release_key('ordered', 'k', 'r')"))
          .hasMessageContaining("paused type");
      engine.run("select cortex.resume_type(?, 'r')", OTHER_TYPE);
      engine.awaitNumber(6, HANDLED);
    }
    assertThat(engine.text(HANDLED_OF, "k")).isEqualTo("0 1 2 4");
  }

  /**
   * What is behind a held event waits for its lane's version to change. Where another emitter was
   * open then, the key waits from that one's number on, not from the held event's.
   */
  @ParameterizedTest(name = "{0}, another emitter open: {1}")
  @CsvSource({"cancel, false", "cancel, true", "request, false", "expire, false", "expire, true"})
  void interleaving_2_a_held_event_that_ends_lets_its_key_go_on(String end, boolean isEmitterOpen)
      throws Exception {
    engine.subscribe("ordered", OTHER_TYPE);
    subscribe("hold");
    engine.run("select cortex.pause_type(?, 'r')", OTHER_TYPE);
    try (Connection emitter = engine.begin();
        CortexEvents cortex = engine.connect()) {
      if (isEmitterOpen) {
        engine.emit(emitter, draft("other", 0));
      }
      cortex.work(List.of(ordered(OrderTest::handled).on(OTHER_TYPE)));
      String held =
          engine.emit(EventDraft.of(OTHER_TYPE, "test").withKey("k").withPayload("{\"n\": 1}"));
      engine.emit(draft("k", 2));
      engine.awaitNumber(1, "select count(*) from cortex.blocked where state = 'held'");
      emitter.rollback();
      end(held, end);
      engine.awaitNumber(1, HANDLED);
    }
    assertThat(engine.text(HANDLED_OF, "k")).isEqualTo("2");
    assertThat(engine.number("select version from cortex.lanes where version > 0")).isEqualTo(1);
  }

  /** By an operator at once or, where somebody holds it, by a worker; or by an archive run. */
  private void end(String event, String how) throws SQLException {
    switch (how) {
      case "cancel" ->
          assertThat(engine.text("select state from cortex.cancel(?, 'r')", event))
              .isEqualTo("cancelled");
      case "request" -> {
        try (Connection holder = engine.begin()) {
          TestEngine.run(
              holder,
              "select from cortex.deliveries where event = (select id from cortex.locate_event(?)) for update",
              event);
          assertThat(engine.text("select state from cortex.cancel(?, 'r')", event))
              .isEqualTo("running");
        }
      }
      default ->
          engine.runAsSuperuser(
              "select cortex.expire_deliveries('-infinity', 'infinity', array['"
                  + OTHER_TYPE
                  + "'], 10)");
    }
  }

  @Test
  void a_key_that_no_worker_will_look_at_by_itself_is_shown() throws SQLException {
    short handler = engine.subscribeOrdered("ordered", TYPE, 1, "hold");
    engine.emit(draft("k", 0));
    engine.emit(draft("k", 1));
    engine.runAsSuperuser(
        "insert into cortex.blocked_keys values (" + handler + ", 'k', 0, 'infinity', 1)");
    assertThat(engine.text("select concat_ws(' ', key, state, waiting) from cortex.blocked"))
        .isEqualTo("k available 1");
  }

  /**
   * It is to be tried again when its type is paused: nothing of its key is left in the lane then.
   */
  @Test
  void interleaving_2_a_blocked_event_that_is_held_lets_the_worker_rest() throws Exception {
    subscribe("hold");
    AtomicBoolean isBroken = new AtomicBoolean(true);
    try (CortexEvents cortex = engine.connect()) {
      Worker worker =
          cortex.work(
              List.of(
                  ordered(
                      (event, context) ->
                          isBroken.get()
                              ? Outcome.retryIn(Duration.ofSeconds(2), "not yet")
                              : handled(event, context))));
      engine.emit(draft("k", 0));
      engine.awaitNumber(1, "select count(*) from cortex.blocked");
      engine.run("select cortex.pause_type(?, 'r')", TYPE);
      engine.awaitNumber(1, "select count(*) from cortex.deliveries where lane = -1");
      engine.awaitNumber(
          0, "select count(*) from cortex.deliveries where run_at > clock_timestamp()");
      assertThat(worker.awaitDrained(TestEngine.PATIENCE)).isTrue();
      isBroken.set(false);
      engine.emit(draft("k", 1));
      engine.run("select cortex.resume_type(?, 'r')", TYPE);
      engine.awaitNumber(2, HANDLED);
    }
    assertThat(engine.text(HANDLED_OF, "k")).isEqualTo("0 1");
  }

  /**
   * Else its row has as many versions as there are deliveries, each of which the next one reads.
   */
  @Test
  void a_lane_changes_once_however_many_of_its_deliveries_an_operator_changes() throws Exception {
    engine.subscribeOrdered("ordered", TYPE, 1, "hold");
    String version = "select version from cortex.lanes";
    emit(10, 50);
    engine.runAsSuperuser("update cortex.deliveries set run_at = 'infinity'");
    assertThat(engine.number("select cortex.redrive('ordered', 'r')")).isEqualTo(500);
    assertThat(engine.number(version)).isEqualTo(1);
    engine.run("select cortex.pause_type(?, 'r')", TYPE);
    assertThat(engine.number("select count(*) from cortex.deliveries where lane = -1"))
        .isEqualTo(500);
    engine.run("select cortex.resume_type(?, 'r')", TYPE);
    assertThat(engine.number("select count(*) from cortex.deliveries where lane = 1"))
        .isEqualTo(500);
    assertThat(engine.number(version)).isEqualTo(2);
    engine.run("select cortex.retire_handler('ordered', 'discard', 'r')");
    assertThat(engine.number("select cancelled from cortex.step_retirements()")).isEqualTo(500);
    assertThat(engine.number(version)).isEqualTo(3);
  }

  /** The key is a member of the payload; what has none has no order and runs all the same. */
  @Test
  void the_key_may_lie_in_the_payload_and_may_be_missing() throws Exception {
    engine.run("insert into cortex.event_types (type) values (?) on conflict do nothing", TYPE);
    HandlerDefinition definition =
        HandlerDefinition.oneByOne("ordered", OrderTest::handled)
            .on(TYPE)
            .ordered(Order.byKey().withKeyPath(TYPE, "task", "id"));
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(List.of(definition));
      engine.emit(EventDraft.of(TYPE, "test").withPayload("{\"task\": {\"id\": \"t-1\"}}"));
      engine.emit(EventDraft.of(TYPE, "test").withPayload("{\"task\": {}}"));
      engine.emit(
          EventDraft.of(TYPE, "test")
              .withPayload("{\"task\": {\"id\": \"" + "long".repeat(3_000) + "\"}}"));
      engine.awaitNumber(3, HANDLED);
      cortex
          .work(List.of(definition.withRetry(TestEngine.QUICK)), WorkerOptions.defaults())
          .awaitDrained(TestEngine.PATIENCE);
    }
    assertThat(engine.number("select lanes from cortex.handlers")).isEqualTo(16);
    assertThat(engine.number("select count(*) from cortex.lanes")).isEqualTo(16);
  }

  /** A key longer than an index entry can block, and be released. */
  @Test
  void a_key_of_any_length_can_be_blocked() throws Exception {
    engine.run("insert into cortex.event_types (type) values (?) on conflict do nothing", TYPE);
    String key = "long".repeat(3_000);
    HandlerDefinition definition =
        ordered((event, context) -> Outcome.dead("broken"))
            .ordered(Order.byKey().withKeyPath(TYPE, "n"));
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(List.of(definition));
      for (int i = 0; i < 2; i++) {
        engine.emit(EventDraft.of(TYPE, "test").withPayload("{\"n\": \"" + key + "\"}"));
      }
      engine.awaitNumber(1, "select count(*) from cortex.blocked where waiting = 1");
      engine.run("select cortex.release_key('ordered', ?, 'r')", key);
      engine.awaitNumber(2, "select count(*) from cortex.dead_letters");
    }
  }

  @Test
  void order_is_not_changed_under_what_is_queued() throws Exception {
    engine.subscribe("ordered", TYPE);
    emit(3, 2);
    try (CortexEvents cortex = engine.connect()) {
      assertThatThrownBy(() -> cortex.work(List.of(ordered(OrderTest::handled))))
          .hasMessageContaining("order changes only while handler ordered has no open deliveries");
      HandlerDefinition unordered =
          HandlerDefinition.oneByOne("ordered", OrderTest::handled).on(TYPE);
      try (Worker worker = cortex.work(List.of(unordered))) {
        assertThat(worker.awaitDrained(TestEngine.PATIENCE)).isTrue();
      }
      try (Worker worker = cortex.work(List.of(ordered(OrderTest::handled)))) {
        emit(3, 2);
        engine.awaitNumber(12, HANDLED);
      }
      engine.run("select cortex.pause_handler('ordered', 'r')");
      emit(3, 2);
      assertThatThrownBy(() -> cortex.work(List.of(unordered)))
          .hasMessageContaining("order changes only while");
    }
  }

  @Test
  void the_number_of_lanes_changes_by_moving_what_is_queued() throws Exception {
    subscribe("hold");
    emit(10, 10);
    assertThatThrownBy(() -> engine.run("select cortex.set_lanes('ordered', 9, 'r')"))
        .hasMessageContaining("handler must be paused");
    engine.run("select cortex.pause_handler('ordered', 'r')");
    assertThat(engine.number("select cortex.set_lanes('ordered', 9, 'r')")).isEqualTo(100);
    assertThat(
            engine.number(
                "select count(*) from cortex.deliveries where lane <> cortex.lane_of(key, 9::smallint)"))
        .isZero();
    engine.run("select cortex.resume_handler('ordered', 'r')");
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(List.of(ordered(OrderTest::handled)));
      engine.awaitNumber(100, HANDLED);
    }
    assertThat(engine.number(VIOLATIONS)).isZero();
    engine.run("select cortex.pause_handler('ordered', 'r')");
    emit(2, 2);
    assertThat(engine.number("select cortex.set_lanes('ordered', 0, 'r')")).isEqualTo(4);
    assertThat(
            engine.number("select count(*) from cortex.deliveries where lane = 0 and key is null"))
        .isEqualTo(4);
  }

  /** Whoever has taken a lane may have claimed nothing yet: the lane is what counts. */
  @Test
  void interleaving_2d_the_number_of_lanes_does_not_change_while_somebody_works_in_one()
      throws Exception {
    short handler = subscribe("hold");
    emit(10, 2);
    assertThatThrownBy(() -> engine.run("select cortex.set_lanes('ordered', 9, 'r')"))
        .hasMessageContaining("handler must be paused and have nothing running")
        .hasMessageContaining("20 open deliveries: pause it")
        .hasMessageContaining("was \"ordered\"");
    try (Connection worker = engine.begin()) {
      String lane = takeLane(worker, handler);
      engine.run("select cortex.pause_handler('ordered', 'r')");
      assertThatThrownBy(() -> engine.run("select cortex.set_lanes('ordered', 9, 'r')"))
          .hasMessageContaining("somebody works in lane " + lane + ": wait for the end")
          .hasMessageContaining("was \"ordered\"");
    }
    try (Connection emitter = engine.begin()) {
      emitOne(emitter);
      assertThatThrownBy(() -> engine.run("select cortex.set_lanes('ordered', 9, 'r')"))
          .hasMessageContaining("a transaction that has emitted stays open");
    }
    try (Connection worker = engine.begin()) {
      TestEngine.run(
          worker,
          "select from cortex.deliveries where event = (select min(event) from cortex.deliveries) for update");
      assertThatThrownBy(() -> engine.run("select cortex.set_lanes('ordered', 9, 'r')"))
          .hasMessageContaining("1 of its 20 open deliveries are held or leased");
      worker.rollback();
    }
    assertThat(engine.number("select cortex.set_lanes('ordered', 9, 'r')")).isEqualTo(20);
  }

  /** Else each of the two waits for the other: for the lane, and for the log. */
  @Test
  void who_works_in_a_lane_may_emit_while_the_number_of_lanes_waits_for_it() throws Exception {
    short handler = subscribe("hold");
    emit(10, 2);
    try (Connection worker = engine.begin();
        Connection operator = engine.session()) {
      takeLane(worker, handler);
      engine.run("select cortex.pause_handler('ordered', 'r')");
      CompletableFuture<String> changed =
          CompletableFuture.supplyAsync(
              () -> {
                try {
                  return TestEngine.text(operator, "select cortex.set_lanes('ordered', 9, 'r')");
                } catch (SQLException e) {
                  throw new IllegalStateException(e);
                }
              });
      engine.awaitBlocked(operator);
      emitOne(worker);
      worker.commit();
      assertThat(changed.get()).isEqualTo("21");
    }
  }

  /** A worker that was not restarted would take it for the lane that it remembers. */
  @Test
  void a_lane_that_is_used_again_has_a_version_that_it_never_had() throws Exception {
    short handler = subscribe("hold");
    String version = "select version from cortex.lanes where lane = 4 and handler_id = " + handler;
    engine.run("select cortex.pause_handler('ordered', 'r')");
    long before = engine.number(version);
    engine.number("select cortex.set_lanes('ordered', 1, 'r')");
    engine.number("select cortex.set_lanes('ordered', 4, 'r')");
    assertThat(engine.number(version)).isGreaterThan(before);
  }

  /** As a worker does that remembers nothing. */
  private static String takeLane(Connection worker, short handler) throws SQLException {
    return TestEngine.text(
        worker,
        """
        select t.lane
          from (select array_agg(l.lane) as lanes, array_agg(0::bigint) as marks,
                       array_agg('-infinity'::timestamptz) as since
                  from cortex.lanes l
                 where l.handler_id = ?) k,
               cortex.take_lane(?::smallint, k.lanes, k.marks, k.since, k.marks) t
        """,
        handler,
        handler);
  }

  private static void emitOne(Connection emitter) throws SQLException {
    TestEngine.run(
        emitter,
        "insert into cortex.events (type, source, key) values ('" + TYPE + "', 'test', 'k')");
  }

  /** Nothing is claimed in it, and its lanes keep nobody awake. */
  @Test
  void a_paused_ordered_handler_rests() throws Exception {
    subscribe("hold");
    emit(2, 5);
    engine.run("select cortex.pause_handler('ordered', 'r')");
    try (CortexEvents cortex = engine.connect()) {
      Worker worker = cortex.work(List.of(ordered(OrderTest::handled)));
      assertThat(worker.awaitDrained(TestEngine.PATIENCE)).isTrue();
      assertThat(engine.number(HANDLED)).isZero();
      engine.run("select cortex.resume_handler('ordered', 'r')");
      engine.awaitNumber(10, HANDLED);
    }
  }
}
