package dev.cortex.events.outbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.Cause;
import dev.cortex.events.event.ErrorCode;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.InvalidEventException;
import dev.cortex.events.event.Json;
import dev.cortex.events.event.Priority;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.Iterator;
import java.util.List;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Emits as a login that may do nothing else, and looks as the owner. */
@ExtendWith(PostgresExtension.class)
class OutboxTest {
  private static final EventDraft FULL =
      EventDraft.of("task.failed", "worker-7")
          .withPayload("{\"text\": \"tab\\t, line\\n, back\\\\slash, \u00e9, 😀\", \"n\": 1.50}")
          .withPriority(Priority.HIGH)
          .withCorrelationId("c\\N\t1")
          .withKey("k\n1")
          .withOccurredAt(Instant.parse("2025-12-01T22:54:20.123456789Z"))
          .withRunAt(Instant.parse("0001-01-01T00:00:00Z"))
          .withMetadata(Json.parse("metadata", "{\"tags\": [null, \"a\"]}"));

  private final Outbox outbox = new Outbox();
  private final TestDatabase database;
  private Connection emitter;
  private Connection owner;

  OutboxTest(TestDatabase database) {
    this.database = database;
  }

  @BeforeEach
  void connect() throws SQLException {
    owner = database.superuserAddress().dataSource().getConnection();
    emitter = database.address("cortex_emitter").dataSource().getConnection();
    emitter.setAutoCommit(false);
    try (Statement statement = owner.createStatement()) {
      statement.execute(
          "insert into cortex.event_types (type) values ('task.failed') on conflict do nothing");
      statement.execute("delete from cortex.events");
      statement.execute("delete from cortex.dedupe_keys");
    }
  }

  @AfterEach
  void disconnect() throws SQLException {
    emitter.close();
    owner.close();
  }

  @Test
  void an_event_is_there_when_the_callers_transaction_commits_and_not_before() throws SQLException {
    String id = outbox.emit(emitter, EventDraft.of("task.failed", "worker-7"));
    assertThat(count()).isZero();
    emitter.commit();
    assertThat(ids()).containsExactly(id);
  }

  @Test
  void an_event_of_a_transaction_that_rolls_back_never_existed() throws SQLException {
    outbox.emit(emitter, FULL);
    outbox.emitAll(emitter, List.of(FULL, FULL));
    outbox.copy(emitter, Stream.of(FULL));
    emitter.rollback();
    assertThat(count()).isZero();
  }

  @Test
  void every_way_records_the_same_row() throws SQLException {
    outbox.emit(emitter, FULL);
    outbox.emitAll(emitter, List.of(FULL));
    outbox.copy(emitter, Stream.of(FULL));
    outbox.emit(emitter, FULL.withDedupeKey("one"));
    outbox.emitAll(emitter, List.of(FULL.withDedupeKey("many")));
    emitter.commit();
    assertThat(
            strings(
                """
                select distinct row(type, source, payload, correlation_id, priority, key, run_at, occurred_at,
                                    metadata, causation_depth, log_only)::text
                  from cortex.events
                """))
        .hasSize(1);
    assertThat(count()).isEqualTo(5);
    assertThat(strings("select payload::text from cortex.events limit 1"))
        .allSatisfy(
            stored -> assertThat(Json.stored(stored)).isEqualTo(FULL.payload().orElseThrow()));
    assertThat(strings("select distinct key from cortex.events")).containsExactly("k\n1");
  }

  @Test
  void what_is_not_stated_is_null_and_the_time_is_the_databases() throws SQLException {
    EventDraft bare = EventDraft.of("task.failed", "w");
    outbox.emit(emitter, bare);
    outbox.emitAll(emitter, List.of(bare));
    outbox.copy(emitter, Stream.of(bare));
    emitter.commit();
    assertThat(
            strings(
                """
                select count(*)::text from cortex.events
                 where num_nulls(payload, correlation_id, priority, key, dedupe_key, run_at, metadata, event_id,
                                 causation_id, extensions) = 10
                   and received_at - occurred_at between '-1 second' and '1 second'
                """))
        .containsExactly("3");
  }

  @Test
  void ids_come_in_the_order_of_the_events() throws SQLException {
    List<EventDraft> drafts = new ArrayList<>();
    for (int i = 0; i < 2500; i++) {
      EventDraft draft = EventDraft.of("task.failed", "worker-" + i);
      drafts.add(i % 500 == 7 ? draft.withEventId("evt_20251201_165420_n" + i) : draft);
    }
    List<String> ids = outbox.emitAll(emitter, drafts);
    emitter.commit();
    assertThat(new HashSet<>(ids)).hasSize(2500);
    List<String> recorded =
        strings(
            """
            select cortex.public_event_id(id, received_at, event_id) from cortex.events
             order by substr(source, 8)::integer
            """);
    assertThat(ids).isEqualTo(recorded);
  }

  @Test
  void a_repetition_returns_the_first_ones_id_and_records_nothing() throws SQLException {
    EventDraft keyed = EventDraft.of("task.failed", "w").withPayload("{}").withDedupeKey("d");
    String first = outbox.emit(emitter, keyed);
    emitter.commit();
    assertThat(outbox.emit(emitter, keyed)).isEqualTo(first);
    assertThat(outbox.emitAll(emitter, List.of(keyed, keyed))).containsExactly(first, first);
    assertThat(outbox.copy(emitter, Stream.of(keyed))).isEqualTo(1);
    emitter.commit();
    assertThat(count()).isEqualTo(1);
  }

  @Test
  void a_call_of_many_statements_is_all_or_nothing_in_autocommit_too() throws SQLException {
    List<EventDraft> drafts = new ArrayList<>();
    IntStream.range(0, 1500).forEach(i -> drafts.add(EventDraft.of("task.failed", "w")));
    drafts.add(EventDraft.of("task.faild", "w"));
    emitter.setAutoCommit(true);
    assertThatThrownBy(() -> outbox.emitAll(emitter, drafts))
        .isInstanceOf(InvalidEventException.class);
    assertThat(count()).isZero();
    assertThat(emitter.getAutoCommit()).isTrue();
    outbox.emitAll(emitter, drafts.subList(0, 1500));
    assertThat(count()).isEqualTo(1500);
  }

  @Test
  void a_call_of_many_statements_that_fails_leaves_nothing_for_the_caller_to_commit()
      throws SQLException {
    List<EventDraft> drafts = new ArrayList<>();
    IntStream.range(0, 1500).forEach(i -> drafts.add(EventDraft.of("task.failed", "w")));
    drafts.add(EventDraft.of("task.faild", "w"));
    assertThatThrownBy(() -> outbox.emitAll(emitter, drafts))
        .isInstanceOf(InvalidEventException.class);
    emitter.commit();
    assertThat(count()).isZero();
  }

  @Test
  void a_cause_that_is_looked_up_gives_its_correlation_and_depth() throws SQLException {
    String root = outbox.emit(emitter, EventDraft.of("task.failed", "w"));
    EventDraft caused = EventDraft.of("task.failed", "c").withCausationId(root);
    String child = outbox.emit(emitter, caused);
    outbox.emitAll(emitter, List.of(caused.withCausationId(child)));
    emitter.commit();
    assertThat(
            strings(
                """
                select causation_depth || ' ' || causation_id || ' ' || correlation_id from cortex.events
                 where source = 'c' order by id
                """))
        .containsExactly("1 " + root + " " + root, "2 " + child + " " + root);
  }

  @Test
  void a_cause_that_is_known_is_recorded_as_given_by_workers() throws SQLException {
    Cause cause = new Cause("evt_20251201_165420_1", 3, "c-1");
    EventDraft draft = EventDraft.of("task.failed", "w");
    try (Connection worker = database.address("cortex_worker").dataSource().getConnection()) {
      outbox.emit(worker, draft, cause);
      outbox.emitAll(worker, List.of(draft, draft.withCorrelationId("own")), cause);
    }
    assertThat(
            strings(
                """
                select causation_depth || ' ' || causation_id || ' ' || correlation_id from cortex.events order by id
                """))
        .containsExactly(
            "3 evt_20251201_165420_1 c-1",
            "3 evt_20251201_165420_1 c-1",
            "3 evt_20251201_165420_1 own");
    assertThatThrownBy(() -> outbox.emit(emitter, draft, cause))
        .isInstanceOfSatisfying(
            EmitFailedException.class,
            e -> {
              assertThat(e.code()).isEqualTo(ErrorCode.NOT_PERMITTED);
              assertThat(e.sqlState()).contains("42501");
            });
  }

  @Test
  void a_stream_that_fails_records_nothing_and_its_own_exception_is_thrown() throws SQLException {
    emitter.setAutoCommit(true);
    Iterator<EventDraft> broken =
        IntStream.range(0, 10_000)
            .mapToObj(
                i -> {
                  if (i == 9_999) {
                    throw new IllegalStateException("the source broke");
                  }
                  return FULL;
                })
            .iterator();
    assertThatThrownBy(() -> outbox.copy(emitter, broken)).hasMessage("the source broke");
    assertThat(count()).isZero();
    assertThat(outbox.copy(emitter, Stream.of(FULL))).isEqualTo(1);
  }

  @Test
  void extensions_are_recorded_as_given_and_a_copy_takes_none() throws SQLException {
    EventDraft draft = FULL.withExtensions(Json.parse("extensions", "{\"v\": 1.50}"));
    outbox.emit(emitter, draft);
    outbox.emitAll(emitter, List.of(FULL, draft));
    emitter.commit();
    assertThat(strings("select coalesce(extensions::text, 'none') from cortex.events order by id"))
        .containsExactly("{\"v\": 1.50}", "none", "{\"v\": 1.50}");
    assertThatThrownBy(() -> outbox.copy(emitter, Stream.of(draft)))
        .hasMessageContaining("extensions");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "select cortex.emit('task.failed', 'w', extensions => '{\"source\": \"x\"}')",
        """
        select cortex.emit_many('{task.failed}', '{w}', '{null}', '{null}', '{null}', '{null}', '{null}', '{null}', '{null}',
                                '{null}', '{null}', '{null}', array['{"source": "x"}'::jsonb])
        """
      })
  void extensions_hide_no_field_of_an_event(String emit) {
    assertThatThrownBy(() -> FULL.withExtensions(Json.parse("extensions", "{\"source\": 1}")))
        .isInstanceOf(InvalidEventException.class)
        .hasMessageContaining("extensions may hold no field of an event");
    assertThatThrownBy(
            () -> {
              try (Statement statement = emitter.createStatement()) {
                statement.execute(emit);
              }
            })
        .hasMessageContaining("extensions may hold no field of an event");
  }

  @Test
  void a_check_that_an_operator_added_is_named_and_the_payload_is_not() throws SQLException {
    try (Statement statement = owner.createStatement()) {
      statement.execute(
          "alter table cortex.events add constraint payload_has_a_task_id check (payload ? 'task_id')");
    }
    assertThatThrownBy(() -> outbox.emit(emitter, FULL))
        .isInstanceOf(InvalidEventException.class)
        .hasMessage("event refused: event must satisfy: payload has a task id")
        .hasNoCause();
    emitter.rollback();
    try (Statement statement = owner.createStatement()) {
      statement.execute("alter table cortex.events drop constraint payload_has_a_task_id");
    }
  }

  @Test
  void a_connection_that_is_gone_is_not_the_events_fault() throws SQLException {
    emitter.close();
    assertThatThrownBy(() -> outbox.emit(emitter, FULL))
        .isInstanceOfSatisfying(
            EmitFailedException.class, e -> assertThat(e.code()).isEqualTo(ErrorCode.UNAVAILABLE));
  }

  private long count() throws SQLException {
    return Long.parseLong(strings("select count(*)::text from cortex.events").get(0));
  }

  private List<String> ids() throws SQLException {
    return strings("select cortex.public_event_id(id, received_at, event_id) from cortex.events");
  }

  private List<String> strings(String sql) throws SQLException {
    List<String> values = new ArrayList<>();
    try (Statement statement = owner.createStatement();
        ResultSet rows = statement.executeQuery(sql)) {
      while (rows.next()) {
        values.add(rows.getString(1));
      }
    }
    return values;
  }
}
