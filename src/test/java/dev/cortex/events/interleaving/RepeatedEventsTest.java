package dev.cortex.events.interleaving;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.InvalidEventException;
import dev.cortex.events.outbox.EmitFailedException;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Dedupe keys and given ids in the emitters' own transactions, several at once. */
@ExtendWith(PostgresExtension.class)
class RepeatedEventsTest {
  private static final String TYPE = "test.repeated";

  private final TestEngine engine;

  RepeatedEventsTest(TestDatabase database) {
    this.engine = new TestEngine(database);
  }

  @BeforeEach
  void clear() throws SQLException {
    engine.clear();
    engine.subscribe("repeated", TYPE);
    engine.run("update cortex.event_types set dedupe_period = null where type = ?", TYPE);
  }

  @Test
  void interleaving_10_the_second_waits_for_the_first_and_repeats_it() throws Exception {
    try (Connection first = engine.begin();
        Connection second = engine.begin()) {
      String original = engine.emit(first, keyed("a"));
      CompletableFuture<List<String>> waiting = emitElsewhere(second, keyed("a"));
      engine.awaitBlocked(second);
      first.commit();

      assertThat(waiting.get()).containsExactly(original);
      second.commit();
    }
    assertRecorded(1);
  }

  @Test
  void a_repetition_of_what_is_itself_a_repetition_in_the_same_statement_is_an_event_of_its_own()
      throws Exception {
    EventDraft first = keyed("a");
    EventDraft dropped = keyed("a").withEventId("evt_20260101_000000_chain");
    EventDraft own = keyed("b").withEventId("evt_20260101_000000_chain");
    List<String> ids;
    try (Connection emitter = engine.session()) {
      ids = engine.emitAll(emitter, List.of(first, dropped, own));
    }
    assertThat(ids.get(1)).isEqualTo(ids.get(0));
    assertThat(ids.get(2)).isEqualTo("evt_20260101_000000_chain");
    assertThat(engine.number("select count(*) from cortex.events")).isEqualTo(2);
    assertThat(engine.number("select count(*) from cortex.deliveries")).isEqualTo(2);
  }

  /** Ids are generated from the second and the next number: anybody can guess the next ones. */
  @Test
  void an_event_is_found_by_its_generated_id_though_another_was_given_it_before() throws Exception {
    engine.run("alter sequence cortex.events_id_seq restart with 500000");
    String second =
        engine
            .rows("select to_char(clock_timestamp() at time zone 'UTC', 'YYYYMMDD_HH24MISS')")
            .get(0);
    for (int ahead = 0; ahead < 60; ahead++) {
      engine.run(
          "select cortex.emit(?, 'forged', event_id => 'evt_' || to_char(to_timestamp(?, 'YYYYMMDD_HH24MISS')"
              + " + ? * interval '1 second', 'YYYYMMDD_HH24MISS') || '_' || to_hex(500100))",
          TYPE,
          second,
          ahead);
    }
    engine.run("select setval('cortex.events_id_seq', 500099)");
    String honest = engine.emit(EventDraft.of(TYPE, "honest"));

    assertThat(honest).endsWith("_" + Long.toHexString(500_100));
    assertThat(
            engine.rows(
                "select e.source from cortex.locate_event('"
                    + honest
                    + "') l join cortex.events e on e.id = l.id"))
        .containsExactly("honest");
  }

  @Test
  void interleaving_10_the_second_is_the_first_when_the_first_rolls_back() throws Exception {
    try (Connection first = engine.begin();
        Connection second = engine.begin()) {
      String never = engine.emit(first, keyed("a"));
      CompletableFuture<List<String>> waiting = emitElsewhere(second, keyed("a"));
      engine.awaitBlocked(second);
      first.rollback();

      assertThat(waiting.get()).doesNotContain(never);
      second.commit();
    }
    assertRecorded(1);
  }

  @Test
  void interleaving_10_the_second_is_refused_when_the_first_has_other_content() throws Exception {
    try (Connection first = engine.begin();
        Connection second = engine.begin()) {
      engine.emit(first, keyed("a"));
      CompletableFuture<List<String>> waiting =
          emitElsewhere(second, keyed("a").withPayload("{\"n\": 2}"));
      engine.awaitBlocked(second);
      first.commit();

      assertThatThrownBy(waiting::join)
          .isInstanceOf(CompletionException.class)
          .cause()
          .isInstanceOf(InvalidEventException.class)
          .hasMessageContaining("dedupe_key");
      second.rollback();
    }
    assertRecorded(1);
  }

  /**
   * Both wait for a third one's key a. Were keys taken as they come, the second would have b by
   * then, and the two would wait for each other.
   */
  @Test
  void interleaving_10_keys_in_opposite_orders_in_one_statement_each_never_deadlock()
      throws Exception {
    try (Connection holder = engine.begin();
        Connection one = engine.begin();
        Connection other = engine.begin()) {
      engine.emit(holder, keyed("a"));
      CompletableFuture<List<String>> there = emitElsewhere(one, keyed("a"), keyed("b"));
      CompletableFuture<List<String>> back = emitElsewhere(other, keyed("b"), keyed("a"));
      engine.awaitBlocked(one);
      engine.awaitBlocked(other);
      holder.rollback();

      CompletableFuture<Void> both =
          CompletableFuture.allOf(commitAfter(there, one), commitAfter(back, other));
      both.get();
      assertThat(back.get()).containsExactly(there.get().get(1), there.get().get(0));
    }
    assertRecorded(2);
  }

  @Test
  void interleaving_10_keys_in_opposite_orders_in_two_statements_each_may_deadlock_and_say_so()
      throws Exception {
    try (Connection one = engine.begin();
        Connection other = engine.begin()) {
      engine.emit(one, keyed("a"));
      engine.emit(other, keyed("b"));
      CompletableFuture<List<String>> there = commitAfter(emitElsewhere(one, keyed("b")), one);
      CompletableFuture<List<String>> back = commitAfter(emitElsewhere(other, keyed("a")), other);

      assertThat(List.of(sqlState(there), sqlState(back))).containsExactlyInAnyOrder("", "40P01");
    }
    assertRecorded(2);
  }

  @Test
  void interleaving_10_an_emitter_at_repeatable_read_gets_40001() throws Exception {
    try (Connection snapshot = engine.begin()) {
      snapshot.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
      TestEngine.text(snapshot, "select count(*) from cortex.events");
      engine.emit(keyed("a"));

      assertThatThrownBy(() -> engine.emit(snapshot, keyed("a")))
          .isInstanceOfSatisfying(
              EmitFailedException.class,
              e -> assertThat(((SQLException) e.getCause()).getSQLState()).isEqualTo("40001"));
      snapshot.rollback();
    }
    assertRecorded(1);
  }

  @Test
  void interleaving_10_keys_are_of_one_type_and_given_ids_of_all() throws Exception {
    engine.subscribe("repeated", TYPE + ".other");
    engine.emit(keyed("a"));
    engine.emit(EventDraft.of(TYPE + ".other", "test").withDedupeKey("a"));
    assertRecorded(2);

    String id = "evt_20260101_120000_abc";
    engine.emit(EventDraft.of(TYPE, "test").withEventId(id));
    assertThatThrownBy(() -> engine.emit(EventDraft.of(TYPE + ".other", "test").withEventId(id)))
        .isInstanceOf(InvalidEventException.class)
        .hasMessageContaining("event_id");
    assertRecorded(3);
  }

  @Test
  void interleaving_10_a_repetition_within_one_statement_is_dropped_too() throws Exception {
    try (Connection connection = engine.begin()) {
      List<String> ids = emitAll(connection, keyed("a"), keyed("b"), keyed("a"));
      connection.commit();
      assertThat(ids.get(2)).isEqualTo(ids.get(0)).isNotEqualTo(ids.get(1));
    }
    assertRecorded(2);
  }

  @Test
  void a_dedupe_key_of_a_type_with_a_period_counts_until_the_period_is_over() throws Exception {
    keysCountFor("1 hour");
    String first = engine.emit(keyed("a"));
    assertThat(engine.emit(keyed("a"))).isEqualTo(first);
    assertThatThrownBy(() -> engine.emit(keyed("a").withPayload("{}")))
        .isInstanceOf(InvalidEventException.class);
    assertRecorded(1);

    periodsArePast();
    String second = engine.emit(keyed("a").withPayload("{}"));

    assertThat(second).isNotEqualTo(first);
    assertThat(engine.emit(keyed("a").withPayload("{}"))).isEqualTo(second);
    assertThat(engine.number("select count(*) from cortex.events")).isEqualTo(2);
    assertThat(engine.number("select count(*) from cortex.dedupe_keys")).isEqualTo(1);
  }

  @Test
  void an_alias_has_the_period_of_its_canonical_type_and_a_given_id_has_none() throws Exception {
    keysCountFor("1 hour");
    engine.run(
        "insert into cortex.event_types (type, alias_of) values (?, ?) on conflict do nothing",
        "test.alias",
        TYPE);
    engine.emit(
        EventDraft.of("test.alias", "test")
            .withDedupeKey("a")
            .withEventId("evt_20260101_000000_kept"));

    assertThat(
            engine.rows(
                "select scope || ' ' || coalesce((expires_at - event_at)::text, 'never')"
                    + " from cortex.dedupe_keys order by 1"))
        .containsExactly("event_id never", TYPE + " 01:00:00");
  }

  @Test
  void of_two_that_find_a_period_over_at_the_same_time_the_second_repeats_the_first()
      throws Exception {
    keysCountFor("1 hour");
    String old = engine.emit(keyed("a"));
    periodsArePast();
    try (Connection first = engine.begin();
        Connection second = engine.begin()) {
      String again = engine.emit(first, keyed("a"));
      CompletableFuture<List<String>> waiting = emitElsewhere(second, keyed("a"));
      engine.awaitBlocked(second);
      first.commit();

      assertThat(again).isNotEqualTo(old);
      assertThat(waiting.get()).containsExactly(again);
      second.commit();
    }
    assertThat(engine.number("select count(*) from cortex.events")).isEqualTo(2);
  }

  @Test
  void a_repetition_within_one_statement_is_dropped_where_the_period_is_over_too()
      throws Exception {
    keysCountFor("1 hour");
    engine.emit(keyed("a"));
    periodsArePast();
    try (Connection connection = engine.begin()) {
      List<String> ids = emitAll(connection, keyed("a"), keyed("a"));
      connection.commit();
      assertThat(ids.get(1)).isEqualTo(ids.get(0));
    }
    assertThat(engine.number("select count(*) from cortex.events")).isEqualTo(2);
  }

  @Test
  void keys_whose_period_is_over_are_pruned_in_steps_and_others_stay() throws Exception {
    engine.emit(keyed("for ever"));
    keysCountFor("1 hour");
    engine.emit(keyed("a"));
    engine.emit(keyed("b"));
    engine.emit(keyed("c"));
    assertThat(engine.number("select cortex.prune_dedupe_keys(2)")).isZero();
    periodsArePast();
    engine.emit(keyed("within it"));

    assertThat(engine.number("select cortex.prune_dedupe_keys(2)")).isEqualTo(2);
    assertThat(engine.number("select cortex.prune_dedupe_keys(2)")).isEqualTo(1);
    assertThat(engine.rows("select key from cortex.dedupe_keys order by key"))
        .containsExactly("for ever", "within it");
  }

  private void keysCountFor(String period) throws SQLException {
    engine.run(
        "update cortex.event_types set dedupe_period = ?::interval where type = ?", period, TYPE);
  }

  /** As if they had been given two hours ago. */
  private void periodsArePast() throws SQLException {
    engine.runAsSuperuser(
        "update cortex.dedupe_keys set expires_at = expires_at - interval '2 hours'");
  }

  private void assertRecorded(int events) throws SQLException {
    assertThat(engine.number("select count(*) from cortex.events")).isEqualTo(events);
    assertThat(engine.number("select count(*) from cortex.deliveries")).isEqualTo(events);
    assertThat(engine.number("select count(*) from cortex.dedupe_keys")).isEqualTo(events);
  }

  private static EventDraft keyed(String key) {
    return EventDraft.of(TYPE, "test").withPayload("{\"n\": 1}").withDedupeKey(key);
  }

  private CompletableFuture<List<String>> emitElsewhere(
      Connection connection, EventDraft... drafts) {
    return CompletableFuture.supplyAsync(() -> emitAll(connection, drafts));
  }

  private List<String> emitAll(Connection connection, EventDraft... drafts) {
    return engine.emitAll(connection, List.of(drafts));
  }

  private static CompletableFuture<List<String>> commitAfter(
      CompletableFuture<List<String>> emitted, Connection connection) {
    return emitted.thenApply(
        ids -> {
          try {
            connection.commit();
            return ids;
          } catch (SQLException e) {
            throw new IllegalStateException(e);
          }
        });
  }

  private static String sqlState(CompletableFuture<List<String>> emitted) {
    try {
      emitted.join();
      return "";
    } catch (CompletionException e) {
      return ((SQLException) e.getCause().getCause()).getSQLState();
    }
  }
}
