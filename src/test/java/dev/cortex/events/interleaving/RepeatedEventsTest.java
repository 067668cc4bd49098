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
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Dedupe keys belong to the emitter's transaction, with what follows from that. */
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
  }

  @Test
  void interleaving_10_the_second_emitter_of_a_key_waits_and_then_repeats_the_first()
      throws Exception {
    try (Connection first = engine.begin();
        Connection second = engine.begin()) {
      String id = engine.emit(first, keyed("a"));
      CompletableFuture<String> repeated =
          CompletableFuture.supplyAsync(() -> engine.emit(second, keyed("a")));
      engine.awaitBlocked(second);
      first.commit();
      assertThat(repeated.get()).isEqualTo(id);
      second.commit();
    }
    assertThat(engine.number("select count(*) from cortex.events")).isEqualTo(1);
    assertThat(engine.number("select count(*) from cortex.deliveries")).isEqualTo(1);
  }

  @Test
  void interleaving_10_the_second_emitter_is_the_first_when_the_first_rolls_back()
      throws Exception {
    try (Connection first = engine.begin();
        Connection second = engine.begin()) {
      engine.emit(first, keyed("a"));
      CompletableFuture<String> other =
          CompletableFuture.supplyAsync(() -> engine.emit(second, keyed("a")));
      engine.awaitBlocked(second);
      first.rollback();
      other.get();
      second.commit();
    }
    assertThat(engine.number("select count(*) from cortex.deliveries")).isEqualTo(1);
  }

  /** One statement takes its keys in their order, whatever order its rows have. */
  @Test
  void interleaving_10_keys_a_b_and_b_a_never_wait_in_a_circle() throws Exception {
    for (int round = 0; round < 20; round++) {
      int number = round;
      CompletableFuture<Void> forth =
          CompletableFuture.runAsync(() -> emitAll("a" + number, "b" + number));
      CompletableFuture<Void> back =
          CompletableFuture.runAsync(() -> emitAll("b" + number, "a" + number));
      forth.get();
      back.get();
    }
    assertThat(engine.number("select count(*) from cortex.events")).isEqualTo(40);
  }

  private void emitAll(String one, String other) {
    try (Connection connection = engine.session()) {
      TestEngine.run(
          connection,
          "insert into cortex.events (type, source, dedupe_key) values (?, 'test', ?), (?, 'test', ?)",
          TYPE,
          one,
          TYPE,
          other);
    } catch (SQLException e) {
      throw new IllegalStateException(e);
    }
  }

  @Test
  void interleaving_10_a_repeatable_read_emitter_gets_a_serialization_failure() throws Exception {
    try (Connection first = engine.begin();
        Connection second = engine.begin()) {
      second.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
      TestEngine.run(second, "select count(*) from cortex.events");
      engine.emit(first, keyed("a"));
      first.commit();
      assertThatThrownBy(() -> engine.emit(second, keyed("a")))
          .isInstanceOfSatisfying(
              EmitFailedException.class, e -> assertThat(e.sqlState()).contains("40001"));
    }
  }

  @Test
  void interleaving_10_a_key_with_another_payload_is_a_conflict() throws Exception {
    engine.emit(keyed("a"));
    assertThatThrownBy(() -> engine.emit(keyed("a").withPayload("{\"other\": 1}")))
        .isInstanceOfSatisfying(
            InvalidEventException.class, e -> assertThat(e.field()).isEqualTo("dedupe_key"));
    assertThat(engine.emit(keyed("b"))).isNotEqualTo(engine.emit(keyed("c")));
    assertThat(engine.rows("select key from cortex.dedupe_keys order by 1"))
        .isEqualTo(List.of("a", "b", "c"));
  }

  private static EventDraft keyed(String key) {
    return EventDraft.of(TYPE, "test").withPayload("{\"n\": 1}").withDedupeKey(key);
  }
}
