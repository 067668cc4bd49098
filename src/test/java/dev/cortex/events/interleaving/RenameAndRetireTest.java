package dev.cortex.events.interleaving;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.delivery.SessionStore;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Order;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.handler.RetryPolicy;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

/** Interleaving 27: a handler that is renamed, or goes, leaves nothing behind that nobody works. */
@ExtendWith(PostgresExtension.class)
@Timeout(120)
class RenameAndRetireTest {
  private static final String TYPE = "test.leaving";
  private static final String NAME = "leaving";

  private static final String OPEN = "select count(*) from cortex.deliveries";
  private static final String RETIRED =
      "select count(*) from cortex.handlers where name = ? and retired_at is not null";

  private final TestEngine engine;

  RenameAndRetireTest(TestDatabase database) {
    this.engine = new TestEngine(database);
  }

  @BeforeEach
  void clear() throws SQLException {
    engine.clear();
    engine.subscribe(NAME, TYPE);
    engine.run(
        "insert into cortex.event_types (type) values (?) on conflict do nothing",
        TYPE + ".follow_up");
  }

  private static HandlerDefinition named(String name) {
    return HandlerDefinition.oneByOne(
            name, (event, context) -> TestEngine.effect(name, event, context))
        .on(TYPE);
  }

  private void retire(String how) throws SQLException {
    engine.text("select cortex.retire_handler(?, ?, 'replaced by another')", NAME, how);
  }

  private void step() throws SQLException {
    engine.rows("select retired from cortex.step_retirements(10)");
  }

  private void stepUntilRetired() {
    await()
        .atMost(TestEngine.PATIENCE)
        .until(
            () -> {
              step();
              return engine.number(RETIRED, NAME) == 1;
            });
  }

  @Test
  void interleaving_27_a_renamed_handler_keeps_its_backlog() throws Exception {
    engine.emit(TYPE, 3);
    engine.text("select cortex.rename_handler(?, 'renamed', 'a better name')", NAME);
    engine.emit(TYPE, 2);
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(List.of(named("renamed")));
      engine.awaitNumber(5, "select count(*) from effects");
    }
    assertThat(engine.number("select count(*) from cortex.handlers")).isEqualTo(1);
    assertThat(engine.number("select count(*) from cortex.audit where handler = 'renamed'"))
        .isEqualTo(5);
  }

  @Test
  void interleaving_27_a_worker_that_runs_under_the_old_name_goes_on() throws Exception {
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(List.of(named(NAME)));
      engine.text("select cortex.rename_handler(?, 'renamed', 'a better name')", NAME);
      engine.emit(TYPE, 2);
      engine.awaitNumber(2, "select count(*) from effects");
    }
  }

  @Test
  void interleaving_27_a_worker_that_starts_with_the_old_name_is_told_the_new_one()
      throws Exception {
    engine.text("select cortex.rename_handler(?, 'renamed', 'a better name')", NAME);
    try (CortexEvents cortex = engine.connect()) {
      assertThatThrownBy(() -> cortex.work(List.of(named(NAME))))
          .isInstanceOf(SQLException.class)
          .hasMessageContaining("it was renamed to \"renamed\" on ")
          .hasMessageContaining("was \"leaving\"");
    }
    assertThat(engine.number("select count(*) from cortex.handlers")).isEqualTo(1);
  }

  @Test
  void interleaving_27_a_lease_outlives_the_renaming_of_its_handler() throws Exception {
    engine.run("update cortex.handlers set mode = 'leased' where name = ?", NAME);
    String event = engine.emit(TYPE, 1).get(0);
    List<String> keys = new CopyOnWriteArrayList<>();
    CountDownLatch isLeased = new CountDownLatch(1);
    CountDownLatch isRenamed = new CountDownLatch(1);
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(
          List.of(
              HandlerDefinition.leased(
                      NAME,
                      (received, context) -> {
                        keys.add(context.idempotencyKey());
                        isLeased.countDown();
                        isRenamed.await();
                        return Outcome.retry("once more, under the new name");
                      })
                  .on(TYPE)
                  .withRetry(
                      RetryPolicy.defaults()
                          .withDelays(Duration.ofHours(1), Duration.ofHours(1)))));
      isLeased.await();
      engine.text("select cortex.rename_handler(?, 'renamed', 'a better word')", NAME);
      assertThat(
              engine.text(
                  "select cortex.emit(?, 'a program', causation_id => ?, handler => ?,"
                      + " fence => (select fence from cortex.deliveries))",
                  TYPE + ".follow_up",
                  event,
                  NAME))
          .startsWith("evt_");
      isRenamed.countDown();
      engine.awaitNumber(1, "select count(*) from cortex.attempts where outcome = 'retry'");
    }
    engine.run("update cortex.deliveries set run_at = clock_timestamp()");
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(
          List.of(
              HandlerDefinition.leased(
                      "renamed",
                      (received, context) -> {
                        keys.add(context.idempotencyKey());
                        return Outcome.done();
                      })
                  .on(TYPE)));
      engine.awaitNumber(1, "select count(*) from cortex.attempts where outcome = 'done'");
    }
    assertThat(keys).hasSize(2).containsOnly(keys.get(0));
  }

  @Test
  void a_handler_can_have_its_former_name_back() throws SQLException {
    engine.text("select cortex.rename_handler(?, 'renamed', 'a better name')", NAME);
    engine.text("select cortex.rename_handler('renamed', ?, 'no it is not')", NAME);
    engine.subscribe(NAME, TYPE);
    assertThat(engine.number("select count(*) from cortex.handlers")).isEqualTo(1);
    assertThatThrownBy(() -> engine.subscribe("renamed", TYPE)).hasMessageContaining("renamed to");
  }

  @Test
  void a_name_that_somebody_has_or_had_is_not_given_twice() throws SQLException {
    engine.subscribe("other", TYPE);
    assertThatThrownBy(() -> engine.text("select cortex.rename_handler(?, 'other', 'r')", NAME))
        .hasMessageContaining("must not be the name of a handler");
    engine.text("select cortex.rename_handler('other', 'another', 'r')");
    assertThatThrownBy(() -> engine.text("select cortex.rename_handler(?, 'other', 'r')", NAME))
        .hasMessageContaining("must not be the former name of another handler");
    assertThatThrownBy(() -> engine.text("select cortex.rename_handler(?, 'No Name', 'r')", NAME))
        .hasMessageContaining("new_name must be words of lower case");
  }

  /** The worker has looked, and not found the name; the rename commits; the worker inserts. */
  @Test
  void interleaving_27_a_worker_that_starts_while_its_handler_is_renamed_makes_no_second_one()
      throws Exception {
    try (Connection operator = engine.begin();
        Connection worker = engine.session()) {
      TestEngine.text(operator, "select cortex.rename_handler(?, 'renamed', 'r')", NAME);
      Thread start =
          new Thread(
              () -> {
                try {
                  TestEngine.text(
                      worker,
                      "select cortex.register_handler(?, 'batch', 5::smallint, '1 s', array[?])",
                      NAME,
                      TYPE);
                } catch (SQLException e) {
                  throw new IllegalStateException(e);
                }
              });
      start.start();
      engine.awaitBlocked(worker);
      operator.commit();
      start.join();
    }
    assertThat(engine.rows("select name || ' ' || mode from cortex.handlers"))
        .containsExactly("renamed batch");
  }

  @Test
  void interleaving_27_a_drained_handler_gets_nothing_new_and_is_retired_when_all_is_finished()
      throws Exception {
    engine.emit(TYPE, 5);
    retire("drain");
    engine.emit(TYPE, 3);
    assertThat(engine.number(OPEN)).isEqualTo(5);
    step();
    step();
    assertThat(engine.number(RETIRED, NAME)).isZero();
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(List.of(named(NAME)));
      engine.awaitNumber(1, RETIRED, NAME);
    }
    assertThat(engine.number("select count(*) from effects")).isEqualTo(5);
    assertThat(engine.number("select count(*) from cortex.subscriptions")).isZero();
  }

  @Test
  void a_dead_letter_is_not_finished() throws Exception {
    engine.emit(TYPE, 1);
    engine.run("update cortex.deliveries set run_at = 'infinity', attempt = 20");
    retire("drain");
    for (int n = 0; n < 5; n++) {
      step();
    }
    assertThat(engine.number(RETIRED, NAME)).isZero();
    retire("discard");
    stepUntilRetired();
    assertThat(engine.number(OPEN)).isZero();
  }

  @Test
  void interleaving_27_what_is_discarded_is_cancelled_in_steps_and_on_record() throws SQLException {
    engine.emit(TYPE, 25);
    retire("discard");
    assertThat(engine.text("select cancelled from cortex.step_retirements(10)")).isEqualTo("10");
    assertThat(engine.number(OPEN)).isEqualTo(15);
    stepUntilRetired();
    assertThat(
            engine.rows(
                "select outcome || ' ' || reason || ' ' || error || ' ' || count(*) from cortex.attempts"
                    + " group by outcome, reason, error"))
        .containsExactly("cancel handler_retired replaced by another 25");
  }

  @Test
  void what_a_worker_holds_is_left_to_it_and_the_rest_waits() throws SQLException {
    short handler = engine.subscribe(NAME, TYPE);
    engine.emit(TYPE, 2);
    retire("discard");
    try (Connection worker = engine.begin()) {
      var held = engine.claim(worker, handler, 1);
      step();
      step();
      step();
      assertThat(engine.number(OPEN)).isEqualTo(1);
      assertThat(engine.number(RETIRED, NAME)).isZero();
      assertThat(engine.store().acknowledge(worker, 1, held, new SessionStore().state(worker)))
          .isEqualTo(1);
      worker.commit();
    }
    stepUntilRetired();
  }

  /** It emitted by the routes of before, and commits when the handler could have been gone. */
  @Test
  void interleaving_27_an_emitter_that_was_open_meanwhile_leaves_no_orphan() throws SQLException {
    try (Connection emitter = engine.begin()) {
      engine.emit(emitter, TYPE, 1);
      retire("discard");
      step();
      step();
      assertThat(engine.number(RETIRED, NAME)).isZero();
      emitter.commit();
    }
    stepUntilRetired();
    assertThat(engine.number(OPEN)).isZero();
    assertThat(engine.number("select count(*) from cortex.attempts")).isEqualTo(1);
  }

  @Test
  void interleaving_27_a_worker_that_starts_with_a_retired_handler_is_refused() throws Exception {
    retire("drain");
    stepUntilRetired();
    try (CortexEvents cortex = engine.connect()) {
      assertThatThrownBy(() -> cortex.work(List.of(named(NAME))))
          .isInstanceOf(SQLException.class)
          .hasMessageContaining("must not be retired: it was on ")
          .hasMessageContaining("replaced by another");
    }
    engine.emit(TYPE, 1);
    assertThat(engine.number(OPEN)).isZero();
  }

  /** Its backlog lies in lanes: whoever drains it must know how many. */
  @Test
  void a_worker_of_an_ordered_handler_can_be_restarted_while_it_is_drained() throws Exception {
    engine.subscribeOrdered("ordered", TYPE, 4, "hold");
    engine.emit(TYPE, 3);
    engine.text("select cortex.retire_handler('ordered', 'drain', 'r')");
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(
          List.of(
              HandlerDefinition.oneByOne("ordered", (event, context) -> Outcome.done())
                  .on(TYPE)
                  .ordered(Order.byKey().withKeyPath(TYPE, "task_id").withLanes(4))));
      engine.awaitNumber(1, RETIRED, "ordered");
    }
    assertThat(engine.number("select count(*) from cortex.subscriptions")).isEqualTo(1);
  }

  /** The worker has seen a handler that stays, the operator retires it, the worker subscribes. */
  @Test
  void interleaving_27_a_worker_that_starts_while_its_handler_is_retired_does_not_subscribe_it()
      throws Exception {
    try (Connection operator = engine.begin();
        Connection worker = engine.session()) {
      TestEngine.text(operator, "select cortex.retire_handler(?, 'drain', 'r')", NAME);
      Thread start =
          new Thread(
              () -> {
                try {
                  TestEngine.text(
                      worker,
                      "select cortex.register_handler(?, 'transactional', 20::smallint, '30 s', array[?, 'test.more'])",
                      NAME,
                      TYPE);
                } catch (SQLException e) {
                  throw new IllegalStateException(e);
                }
              });
      start.start();
      engine.awaitBlocked(worker);
      operator.commit();
      start.join();
    }
    assertThat(engine.number("select count(*) from cortex.subscriptions")).isZero();
  }

  @Test
  void retiring_ends_a_back_fill_and_allows_none() throws SQLException {
    engine.emit(TYPE, 1);
    engine.text("select cortex.backfill(?, 'r')", NAME);
    retire("drain");
    assertThat(engine.text("select state from cortex.backfill_status")).isEqualTo("cancelled");
    assertThatThrownBy(() -> engine.text("select cortex.backfill(?, 'r')", NAME))
        .hasMessageContaining("must subscribe to something");
  }

  @Test
  void a_retired_handler_is_taken_back_and_back_filled_with_what_it_missed() throws Exception {
    retire("drain");
    stepUntilRetired();
    engine.emit(TYPE, 2);
    engine.text("select cortex.reinstate_handler(?, 'by mistake')", NAME);
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(List.of(named(NAME)));
      engine.emit(TYPE, 1);
      engine.text("select cortex.backfill(?, 'what it missed', rate => 10000)", NAME);
      engine.awaitNumber(3, "select count(*) from effects");
    }
  }
}
