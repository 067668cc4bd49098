package dev.cortex.events.interleaving;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.InvalidEventException;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Instant;
import java.util.List;
import java.util.stream.IntStream;
import org.assertj.core.api.InstanceOfAssertFactories;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.postgresql.PGConnection;

/** From an INSERT to deliveries: once per statement, into partitions made ahead, to a limit. */
@ExtendWith(PostgresExtension.class)
class FanOutTest {
  private static final String TYPE = "test.fan_out";
  private static final String COPY = "copy cortex.events (type, source, payload) from stdin";

  private final TestEngine engine;

  FanOutTest(TestDatabase database) {
    this.engine = new TestEngine(database);
  }

  @BeforeEach
  void clear() throws SQLException {
    engine.clear();
  }

  /** A row trigger halves bulk, and switches off what makes COPY fast. */
  @Test
  void interleaving_12_the_fan_out_fires_once_for_many_rows_and_for_copy() throws Exception {
    engine.subscribe("one", TYPE);
    engine.subscribe("two", TYPE);
    try (Connection connection = engine.superuser()) {
      connection.setAutoCommit(false);
      TestEngine.run(connection, "set local track_functions = 'pl'");
      TestEngine.run(
          connection,
          "insert into cortex.events (type, source) select ?, 'test' from generate_series(1, 1000)",
          TYPE);
      assertThat(calls(connection)).isEqualTo("1");
      copy(connection, IntStream.range(0, 500).mapToObj(n -> TYPE + "\ttest\t{}").toList());
      assertThat(calls(connection)).isEqualTo("2");
      connection.commit();
    }
    assertThat(engine.number("select count(*) from cortex.deliveries")).isEqualTo(3_000);
  }

  private static String calls(Connection connection) throws SQLException {
    return TestEngine.text(
        connection, "select calls from pg_stat_xact_user_functions where funcname = 'fan_out'");
  }

  private static void copy(Connection connection, List<String> lines)
      throws SQLException, IOException {
    connection
        .unwrap(PGConnection.class)
        .getCopyAPI()
        .copyIn(
            COPY,
            new ByteArrayInputStream(
                (String.join("\n", lines) + "\n").getBytes(StandardCharsets.ISO_8859_1)));
  }

  @Test
  void interleaving_12_the_log_has_no_row_trigger() throws SQLException {
    assertThat(
            engine.rows(
                """
                select distinct tgname || ' ' || case when tgtype & 1 = 1 then 'row' else 'statement' end
                  from pg_trigger
                 where tgrelid in (select relid from pg_partition_tree('cortex.events'))
                """))
        .containsExactly("fan_out statement");
  }

  @Test
  void interleaving_18_partitions_are_there_for_sixty_days_and_none_is_a_default()
      throws SQLException {
    for (String parent : List.of("cortex.events", "cortex.attempts")) {
      assertThat(
              engine.number(
                  "select partdefid from pg_partitioned_table where partrelid = ?::regclass",
                  parent))
          .as("default partition of %s", parent)
          .isZero();
      assertThat(
              engine.number(
                  """
                  select count(*)
                    from generate_series(clock_timestamp(), clock_timestamp() + '60 days', '1 day') day
                   where to_regclass(?::text || to_char(day at time zone 'UTC', '_YYYY_MM')) is null
                  """,
                  parent))
          .as("days without a partition of %s", parent)
          .isZero();
    }
  }

  /** Nothing here may wait: both sides end, or the lock_timeout of the function fails the test. */
  @Test
  void interleaving_18_attaching_a_partition_and_an_open_emitter_do_not_wait_for_each_other()
      throws Exception {
    engine.subscribe("attached", TYPE);
    try (Connection emitter = engine.begin();
        Connection maker = engine.begin();
        Connection another = engine.begin()) {
      engine.emit(emitter, EventDraft.of(TYPE, "test"));
      assertThat(TestEngine.text(maker, "select cortex.create_partitions('150 days')"))
          .isNotEqualTo("0");
      TestEngine.run(another, "set local lock_timeout = '5s'");
      engine.emit(another, EventDraft.of(TYPE, "test"));
      engine.emit(emitter, EventDraft.of(TYPE, "test"));
      another.commit();
      maker.commit();
      emitter.commit();
    }
    assertThat(engine.number("select count(*) from cortex.deliveries")).isEqualTo(3);
    assertThat(engine.number("select cortex.create_partitions('150 days')")).isZero();
  }

  /** Retention goes by when an event was received, whatever time it carries and is due at. */
  @Test
  void interleaving_18_an_event_of_another_time_pins_no_partition_of_that_time() throws Exception {
    engine.subscribe("timeless", TYPE);
    engine.emit(EventDraft.of(TYPE, "test").withOccurredAt(Instant.parse("1970-01-01T00:00:00Z")));
    engine.emit(EventDraft.of(TYPE, "test").withRunAt(Instant.parse("2999-01-01T00:00:00Z")));

    assertThat(engine.rows("select distinct tableoid::regclass::text from cortex.events"))
        .containsExactly(
            engine.text("select 'cortex.events' || to_char(now() at time zone 'UTC', '_YYYY_MM')"));
  }

  @Test
  void interleaving_26_a_handler_that_feeds_itself_ends_in_the_dead_letter() throws Exception {
    engine.subscribe("echo", TYPE);
    engine.emit(TYPE, 1);
    HandlerDefinition echo =
        HandlerDefinition.oneByOne(
                "echo",
                (event, context) -> {
                  context.emit(EventDraft.of(TYPE, "echo"));
                  return Outcome.done();
                })
            .on(TYPE);
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(List.of(echo));
      engine.awaitNumber(1, "select count(*) from cortex.attempts where outcome = 'dead'");
    }
    assertThat(
            engine.rows(
                "select outcome || ' ' || coalesce(reason, '') || ' ' || count(*) from cortex.attempts group by outcome, reason order by 1"))
        .containsExactly("dead loop 1", "done  33");
    assertThat(engine.number("select max(causation_depth) from cortex.events")).isEqualTo(33);
    assertThat(engine.rows("select run_at || ' ' || attempt from cortex.deliveries"))
        .containsExactly("infinity 0");
  }

  @Test
  void interleaving_30_a_null_character_is_refused_by_postgresql_and_by_java() throws Exception {
    engine.subscribe("nul", TYPE);
    assertSqlState(
        "22P05",
        () -> engine.run("select cortex.emit(?, 'test', ?::jsonb)", TYPE, "{\"a\":\"\\u0000\"}"));
    assertThatThrownBy(() -> EventDraft.of(TYPE, "test").withPayload("{\"a\":\"\\u0000\"}"))
        .isInstanceOf(InvalidEventException.class)
        .hasMessageContaining("payload");
    assertThat(engine.number("select count(*) from cortex.events")).isZero();
  }

  @Test
  void interleaving_30_invalid_utf_8_in_a_copy_is_refused_and_takes_the_whole_copy_with_it()
      throws Exception {
    engine.subscribe("utf", TYPE);
    try (Connection connection = engine.session()) {
      assertSqlState(
          "22021",
          () ->
              copy(connection, List.of(TYPE + "\ttest\t{}", TYPE + "\ttest\t{\"a\": \"\u00ff\"}")));
    }
    assertThat(engine.number("select count(*) from cortex.events")).isZero();
  }

  private interface Call {
    void run() throws Exception;
  }

  private static void assertSqlState(String state, Call call) {
    assertThatThrownBy(call::run)
        .asInstanceOf(InstanceOfAssertFactories.throwable(SQLException.class))
        .extracting(SQLException::getSQLState)
        .isEqualTo(state);
  }

  /** The same envelope means equal as JSON values and as instants. */
  @Test
  void interleaving_31_json_and_time_are_normalised_and_stay_equal() throws Exception {
    engine.subscribe("normal", TYPE);
    engine.run(
        "select cortex.emit(?, 'test', '{\"bb\": 1e2, \"a\": 1.50}', occurred_at => '2026-01-01T06:00:00-06:00')",
        TYPE);

    assertThat(engine.text("select line from cortex.event_log"))
        .contains("\"payload\": {\"a\": 1.50, \"bb\": 100}")
        .contains("\"timestamp\": \"2026-01-01T12:00:00Z\"");
  }

  @Test
  void interleaving_31_a_repetition_in_other_words_is_the_same_event() throws Exception {
    engine.subscribe("same", TYPE);
    EventDraft draft = EventDraft.of(TYPE, "test").withDedupeKey("k");
    String first = engine.emit(draft.withPayload("{\"a\": 100, \"b\": [1, 2]}"));

    assertThat(engine.emit(draft.withPayload("{\"b\":[1,2],\"a\":1e2}"))).isEqualTo(first);
    assertThat(engine.number("select count(*) from cortex.events")).isEqualTo(1);
  }

  @Test
  void interleaving_31_a_key_that_comes_twice_is_refused_in_java() {
    assertThatThrownBy(() -> EventDraft.of(TYPE, "test").withPayload("{\"a\": 1, \"a\": 2}"))
        .isInstanceOf(InvalidEventException.class)
        .hasMessageContaining("payload");
  }
}
