package dev.cortex.events.interleaving;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Order;
import dev.cortex.events.handler.RetryPolicy;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

/** Events of the log that are handled again, each time as a generation of its own. */
@ExtendWith(PostgresExtension.class)
@Timeout(120)
class ReplayTest {
  private static final String TYPE = "test.again";
  private static final String NAME = "again";
  private static final String GENERATIONS =
      "select generation from cortex.deliveries order by generation";
  private static final String REPLAY =
      "select delivery_to from cortex.replay('a test', event_id => ?)";

  private final TestEngine engine;

  ReplayTest(TestDatabase database) {
    this.engine = new TestEngine(database);
  }

  @BeforeEach
  void clear() throws SQLException {
    engine.clear();
    engine.subscribe(NAME, TYPE);
  }

  private static HandlerDefinition handler() {
    return HandlerDefinition.oneByOne(
            NAME, (event, context) -> TestEngine.effect(NAME, event, context))
        .on(TYPE);
  }

  @Test
  void interleaving_4_each_replay_is_the_next_generation_for_handler_effects_and_audit()
      throws Exception {
    String event = engine.emit(TYPE, 1).get(0);
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(List.of(handler()));
      engine.awaitNumber(1, "select count(*) from effects");
      assertThat(engine.text(REPLAY, event)).isEqualTo(NAME);
      engine.awaitNumber(2, "select count(*) from effects");
      engine.text(REPLAY, event);
      engine.text(REPLAY, event);
      engine.awaitNumber(4, "select count(*) from effects");
    }
    assertThat(engine.rows("select generation || ' ' || attempt from effects order by generation"))
        .containsExactly("0 1", "1 1", "2 1", "3 1");
    assertThat(
            engine.rows(
                "select generation || ' ' || outcome from cortex.attempts order by generation"))
        .containsExactly("0 done", "1 done", "2 done", "3 done");
  }

  @Test
  void interleaving_4_what_was_delivered_before_is_left_as_it_is() throws SQLException {
    String event = engine.emit(TYPE, 1).get(0);
    engine.run("update cortex.deliveries set run_at = 'infinity', attempt = 20");
    engine.text(REPLAY, event);
    assertThat(
            engine.rows(
                "select generation || ' ' || attempt || ' ' || (run_at = 'infinity') from cortex.deliveries order by 1"))
        .containsExactly("0 20 true", "1 0 false");
  }

  /** The second reads which generations there are before the first one's is committed. */
  @Test
  void interleaving_4_two_replays_at_once_are_two_generations() throws Exception {
    String event = engine.emit(TYPE, 1).get(0);
    try (Connection first = engine.begin();
        Connection second = engine.begin()) {
      TestEngine.text(first, REPLAY, event);
      Thread other = inBackground(second, REPLAY, event);
      engine.awaitBlocked(second);
      first.commit();
      other.join();
    }
    assertThat(engine.rows(GENERATIONS)).containsExactly("0", "1", "2");
  }

  private static Thread inBackground(Connection transaction, String sql, Object... arguments) {
    Thread thread =
        new Thread(
            () -> {
              try {
                TestEngine.text(transaction, sql, arguments);
                transaction.commit();
              } catch (SQLException e) {
                throw new IllegalStateException(e);
              }
            });
    thread.setUncaughtExceptionHandler((t, e) -> {});
    thread.start();
    return thread;
  }

  @Test
  void interleaving_4_a_batch_handler_tells_an_event_from_its_replay() throws Exception {
    String event = engine.emit(TYPE, 1).get(0);
    engine.text(REPLAY, event);
    List<Integer> generations = new CopyOnWriteArrayList<>();
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(
          List.of(
              HandlerDefinition.batch(
                      NAME,
                      (events, context) ->
                          events.forEach(each -> generations.add(context.generation(each))))
                  .on(TYPE)));
      engine.awaitNumber(2, "select count(*) from cortex.attempts where outcome = 'done'");
    }
    assertThat(generations).containsExactlyInAnyOrder(0, 1);
  }

  /** The drop has looked at the deliveries that there are; then a replay makes one more. */
  @Test
  void interleaving_5_a_replay_of_an_event_that_is_being_dropped_makes_no_orphan()
      throws Exception {
    String event = engine.emit(TYPE, 1).get(0);
    engine.run("delete from cortex.deliveries");
    try (Connection retention = engine.begin();
        Connection operator = engine.begin()) {
      TestEngine.text(retention, "select pg_advisory_xact_lock(cortex.log_lock_key())");
      TestEngine.run(retention, "delete from cortex.events");
      Thread replay = inBackground(operator, REPLAY, event);
      engine.awaitBlocked(operator);
      retention.commit();
      replay.join();
    }
    assertThat(engine.number("select count(*) from cortex.deliveries")).isZero();
    assertThatThrownBy(() -> engine.text(REPLAY, event))
        .hasMessageContaining("event_id must be the id of a recorded event");
  }

  @Test
  void interleaving_5_who_drops_events_waits_for_a_replay_and_sees_its_deliveries()
      throws Exception {
    String event = engine.emit(TYPE, 1).get(0);
    engine.run("delete from cortex.deliveries");
    try (Connection retention = engine.begin();
        Connection operator = engine.begin()) {
      TestEngine.text(operator, REPLAY, event);
      Thread drop = inBackground(retention, "select pg_advisory_xact_lock(cortex.log_lock_key())");
      engine.awaitBlocked(retention);
      operator.commit();
      drop.join();
    }
    assertThat(engine.rows(GENERATIONS)).containsExactly("1");
  }

  @Test
  void an_event_that_an_import_only_recorded_is_replayed() throws SQLException {
    engine.run("insert into cortex.events (type, source, log_only) values (?, 'test', true)", TYPE);
    assertThat(engine.number("select count(*) from cortex.deliveries")).isZero();
    assertThat(
            engine.rows(
                "select delivery_to from cortex.replay('a test', day => (clock_timestamp() at time zone 'UTC')::date)"))
        .containsExactly(NAME);
  }

  @Test
  void a_replay_of_a_paused_type_is_held() throws SQLException {
    String event = engine.emit(TYPE, 1).get(0);
    engine.run("delete from cortex.deliveries");
    engine.text("select cortex.pause_type(?, 'flood')", TYPE);
    engine.text(REPLAY, event);
    assertThat(engine.text("select lane from cortex.deliveries")).isEqualTo("-1");
    engine.text("select cortex.resume_type(?, 'over')", TYPE);
    assertThat(engine.text("select lane from cortex.deliveries")).isEqualTo("0");
  }

  @Test
  void a_day_is_replayed_in_calls_of_bounded_size_and_nothing_twice() throws SQLException {
    engine.subscribe("too", TYPE);
    List<String> events = engine.emit(TYPE, 10);
    engine.run("delete from cortex.deliveries");
    String call =
        "select coalesce(replayed || ' ' || delivery_to, looked_to::text)"
            + " from cortex.replay('a test', day => (clock_timestamp() at time zone 'UTC')::date,"
            + " after => ?, max_deliveries => 5)";
    long after = 0;
    int calls = 0;
    List<String> replayed = new ArrayList<>();
    while (after >= 0) {
      List<String> rows = engine.rows(call, after);
      String last = rows.get(rows.size() - 1);
      boolean hasMore = last.matches("[0-9]+");
      replayed.addAll(hasMore ? rows.subList(0, rows.size() - 1) : rows);
      after = hasMore ? Long.parseLong(last) : -1;
      calls++;
    }
    assertThat(calls).as("two events with two deliveries each in a call").isEqualTo(5);
    assertThat(replayed).hasSize(20).doesNotHaveDuplicates();
    assertThat(events).allMatch(event -> Collections.frequency(replayed, event + " too") == 1);
    assertThat(engine.rows("select distinct generation from cortex.deliveries"))
        .containsExactly("1");
  }

  /** The worker's mark in the lane is past the old event, and the key is blocked by a later one. */
  @Test
  void a_replay_of_an_ordered_handler_runs_before_what_is_open_of_its_key() throws Exception {
    engine.subscribeOrdered("ordered", TYPE, 1, "hold");
    String first = engine.emit(EventDraft.of(TYPE, "test").withKey("k").withPayload("{\"n\": 1}"));
    engine.emit(EventDraft.of(TYPE, "test").withKey("k").withPayload("{\"n\": 2}"));
    engine.emit(EventDraft.of(TYPE, "test").withKey("k").withPayload("{\"n\": 3}"));
    HandlerDefinition ordered =
        HandlerDefinition.oneByOne(
                "ordered",
                (event, context) -> {
                  if (TestEngine.n(event) == 2
                      && context.generation() == 0
                      && context.attempt() == 1) {
                    throw new IllegalStateException("second");
                  }
                  return TestEngine.effect(String.valueOf(TestEngine.n(event)), event, context);
                })
            .on(TYPE)
            .withRetry(RetryPolicy.defaults().withMaxAttempts(1))
            .ordered(Order.byKey().withLanes(1));
    engine.runAsSuperuser(
        "alter table effects add column if not exists seq bigserial; grant usage on sequence effects_seq_seq to public");
    String effects = "select handler || ' ' || generation from effects order by seq";
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(List.of(ordered));
      engine.awaitNumber(1, "select count(*) from cortex.blocked where state = 'dead'");
      engine.text(
          "select delivery_to from cortex.replay('a test', event_id => ?, handler => 'ordered')",
          first);
      engine.awaitNumber(2, "select count(*) from effects");
      assertThat(engine.rows(effects)).containsExactly("1 0", "1 1");
      engine.text("select cortex.retry(b.event_id, 'ordered', 'a test') from cortex.blocked b");
      engine.awaitNumber(4, "select count(*) from effects");
    }
    assertThat(engine.rows(effects)).containsExactly("1 0", "1 1", "2 0", "3 0");
  }

  @Test
  void a_replay_that_cannot_have_its_lane_is_refused_and_changes_nothing() throws Exception {
    short ordered = engine.subscribeOrdered("ordered", TYPE, 1, "hold");
    String event = engine.emit(EventDraft.of(TYPE, "test").withKey("k"));
    engine.run("delete from cortex.deliveries");
    try (Connection worker = engine.begin()) {
      TestEngine.text(
          worker,
          "select version from cortex.lanes where handler_id = ? for no key update",
          ordered);
      assertThatThrownBy(() -> engine.text(REPLAY, event))
          .hasMessageContaining("must not share its lane with what runs for longer");
    }
    assertThat(engine.number("select count(*) from cortex.deliveries")).isZero();
    assertThat(
            engine.number(
                "select count(*) from cortex.operator_actions where action = 'replay' and subject ->> 'event_id' = ?",
                event))
        .isZero();
  }

  @Test
  void what_a_replay_asks_for_must_be_said_rightly() {
    assertRefused("select replayed from cortex.replay('r')", "or day must be given, and not both");
    assertRefused(
        "select replayed from cortex.replay('', day => current_date)", "reason must have");
    assertRefused(
        "select replayed from cortex.replay('r', day => current_date, priority => 'urgent')",
        "priority must be critical, high, medium or low");
    assertRefused(
        "select replayed from cortex.replay('r', day => current_date, handler => 'no-such')",
        "handler must be a known handler");
    assertRefused(
        "select replayed from cortex.replay('r', day => current_date, max_deliveries => 10001)",
        "max_deliveries must be 1 to 10000");
  }

  private void assertRefused(String call, String rule) {
    assertThatThrownBy(() -> engine.text(call)).hasMessageContaining(rule);
  }
}
