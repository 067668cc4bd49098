package dev.cortex.events.interleaving;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.outbox.Outbox;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** What one trigger does for every way of inserting, and the partitions that it inserts into. */
@ExtendWith(PostgresExtension.class)
class FanOutTest {
  private static final String TYPE = "test.fanned";

  private final TestEngine engine;

  FanOutTest(TestDatabase database) {
    this.engine = new TestEngine(database);
  }

  @BeforeEach
  void clear() throws SQLException {
    engine.clear();
    engine.subscribe("one", TYPE);
    engine.subscribe("two", TYPE);
  }

  @Test
  void interleaving_12_the_only_trigger_on_the_log_fires_once_for_a_statement() throws Exception {
    assertThat(
            engine.rows(
                "select tgname || ' ' || (tgtype & 1) from pg_trigger where tgrelid = 'cortex.events'::regclass and not tgisinternal"))
        .as("name, and 1 for a row trigger")
        .containsExactly("fan_out 0");
  }

  @Test
  void interleaving_12_many_rows_and_copy_are_fanned_out_like_one_row() throws Exception {
    engine.emit(TYPE, 100);
    try (Connection connection = engine.session()) {
      new Outbox()
          .copy(connection, IntStream.range(0, 100).mapToObj(n -> EventDraft.of(TYPE, "copy")));
    }
    engine.run(
        "insert into cortex.events (type, source) select ?, 'select' from generate_series(1, 100)",
        TYPE);
    assertThat(engine.number("select count(*) from cortex.deliveries")).isEqualTo(600);
    assertThat(engine.number("select count(distinct (event, handler_id)) from cortex.deliveries"))
        .isEqualTo(600);
  }

  @Test
  void interleaving_18_partitions_are_there_for_sixty_days_and_none_is_the_default()
      throws Exception {
    assertThat(
            engine.number(
                "select count(*) from pg_partitioned_table where partrelid in ('cortex.events'::regclass, 'cortex.attempts'::regclass) and partdefid <> 0"))
        .isZero();
    for (String parent : List.of("events", "attempts")) {
      assertThat(
              engine.text(
                  "select bool_and(to_regclass(format('cortex.%s_%s', ?::text, to_char(day at time zone 'UTC', 'YYYY_MM'))) is not null)"
                      + " from generate_series(now(), now() + interval '60 days', interval '1 day') day",
                  parent))
          .isEqualTo("t");
    }
  }

  /**
   * ATTACH lets emitters go on, where CREATE TABLE … PARTITION OF would wait for them, and they for
   * it.
   */
  @Test
  void interleaving_18_a_partition_is_made_beside_an_open_emitter() throws Exception {
    try (Connection emitter = engine.begin()) {
      engine.emit(emitter, TYPE, 1);
      engine.run("select cortex.create_partitions(interval '400 days')");
      engine.emit(emitter, TYPE, 1);
      emitter.commit();
    }
    assertThat(engine.number("select count(*) from cortex.deliveries")).isEqualTo(4);
  }

  @Test
  void interleaving_26_a_handler_that_feeds_itself_ends_in_the_dead_letter() throws Exception {
    engine.run("update cortex.settings set max_causation_depth = 5");
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(
          List.of(
              HandlerDefinition.oneByOne(
                      "one",
                      (event, context) -> {
                        context.emit(EventDraft.of(TYPE, "one"));
                        return Outcome.done();
                      })
                  .on(TYPE)));
      engine.emit(TYPE, 1);
      engine.awaitNumber(
          6,
          "select count(*) from cortex.attempts a join cortex.handlers using (handler_id) where name = 'one' and outcome = 'done'");
      engine.awaitNumber(
          1,
          "select count(*) from cortex.attempts a join cortex.handlers using (handler_id) where name = 'one' and outcome = 'dead' and reason = 'loop'");
    } finally {
      engine.run("update cortex.settings set max_causation_depth = 32");
    }
    assertThat(engine.number("select max(causation_depth) from cortex.events")).isEqualTo(6);
  }

  @Test
  void interleaving_30_a_nul_is_refused_by_postgresql_itself_and_nothing_is_written() {
    assertThatThrownBy(
            () ->
                engine.run(
                    "insert into cortex.events (type, source, payload) values (?, 'test', '{\"a\": \"\\u0000\"}'::jsonb)",
                    TYPE))
        .isInstanceOfSatisfying(
            SQLException.class, e -> assertThat(e.getSQLState()).isEqualTo("22P05"));
  }

  /** The same envelope means: equal as JSON values and as instants. */
  @Test
  void interleaving_31_numbers_keys_and_offsets_are_normalised_and_stay_equal() throws Exception {
    engine.run(
        "insert into cortex.events (type, source, occurred_at, payload) values (?, 'test', '2025-12-01T16:54:20-06:00', '{\"b\": 1e2, \"a\": null}')",
        TYPE);
    assertThat(engine.text("select line::jsonb ->> 'timestamp' from cortex.event_log"))
        .isEqualTo("2025-12-01T22:54:20Z");
    assertThat(
            engine.text(
                "select line::jsonb -> 'payload' = '{\"a\": null, \"b\": 100}' from cortex.event_log"))
        .isEqualTo("t");
  }
}
