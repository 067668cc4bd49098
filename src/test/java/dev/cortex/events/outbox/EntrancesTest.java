package dev.cortex.events.outbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.Defect;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.InvalidEventException;
import dev.cortex.events.event.Json;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Instant;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/** Runs every cell of the table in docs/entrances.md that is not the command line's. */
@ExtendWith(PostgresExtension.class)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class EntrancesTest {
  private static final AtomicInteger SAMPLES = new AtomicInteger();
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final Outbox OUTBOX = new Outbox();

  /** The columns of the members that have another name in an envelope. */
  private static final Map<String, String> COLUMNS =
      Map.of("event_type", "type", "timestamp", "occurred_at");

  /** How an entrance takes a sample: returns the public id, where the entrance tells it. */
  private interface Entrance {
    Optional<String> take(BadEvent event) throws SQLException;
  }

  private final TestDatabase database;
  private final Map<String, Entrance> entrances;

  @TempDir private Path directory;
  private Connection emitter;
  private Connection owner;

  EntrancesTest(TestDatabase database) {
    this.database = database;
    this.entrances =
        Map.of(
            "INSERT", this::insert,
            "cortex.emit", this::call,
            "Java one", event -> Optional.of(OUTBOX.emit(emitter, draft(event))),
            "Java many", this::emitAll,
            "Java COPY", this::copy);
  }

  @BeforeAll
  void connect() throws SQLException {
    emitter = database.address("cortex_emitter").dataSource().getConnection();
    owner = database.superuserAddress().dataSource().getConnection();
    try (Statement statement = owner.createStatement()) {
      statement.execute(
          "insert into cortex.event_types (type) values ('task.failed') on conflict do nothing");
    }
  }

  @AfterAll
  void disconnect() throws SQLException {
    emitter.close();
    owner.close();
  }

  @TestFactory
  Stream<DynamicTest> a_cell_of_an_entrance_for_emitters_is_as_the_table_says() {
    return EntranceTable.rows().stream()
        .flatMap(
            row ->
                entrances.entrySet().stream()
                    .filter(entry -> !isImpossible(row, entry.getKey()))
                    .map(
                        entry ->
                            DynamicTest.dynamicTest(
                                entry.getKey() + ": " + row.defect(),
                                () -> check(row, entry.getKey(), entry.getValue()))));
  }

  @TestFactory
  Stream<DynamicTest> a_cell_of_the_import_is_as_the_table_says() {
    return EntranceTable.rows().stream()
        .filter(row -> !isImpossible(row, "import"))
        .map(row -> DynamicTest.dynamicTest(row.defect(), () -> checkImport(row)));
  }

  private static boolean isImpossible(EntranceTable.Row row, String entrance) {
    return row.verdict(entrance).equals(EntranceTable.IMPOSSIBLE);
  }

  private void check(EntranceTable.Row row, String name, Entrance entrance) throws SQLException {
    BadEvent sample = BadEvent.of(row.defect(), SAMPLES.incrementAndGet());
    Optional<String> firstId = Optional.empty();
    if (sample.before().isPresent()) {
      firstId = call(sample.before().get());
    }
    long before = recorded();
    switch (row.verdict(name)) {
      case "accepted" -> {
        entrance.take(sample);
        assertThat(recorded()).isEqualTo(before + 1);
      }
      case "dropped" -> {
        Optional<String> id = entrance.take(sample);
        assertThat(recorded()).isEqualTo(before);
        if (id.isPresent()) {
          assertThat(id).isEqualTo(firstId);
        }
      }
      case "refused" -> {
        InvalidEventException refusal =
            catchThrowableOfType(InvalidEventException.class, () -> entrance.take(sample));
        assertNamed(row, refusal);
        assertThat(recorded()).isEqualTo(before);
      }
      default -> {
        SQLException error = catchThrowableOfType(SQLException.class, () -> entrance.take(sample));
        assertThat(error.getSQLState()).isEqualTo(row.verdict(name));
        if (error.getSQLState().startsWith("23") || error.getSQLState().equals("54000")) {
          assertNamed(row, Refusal.ofEvent(error).orElseThrow());
        }
        assertThat(recorded()).isEqualTo(before);
      }
    }
  }

  private static void assertNamed(EntranceTable.Row row, InvalidEventException refusal) {
    assertThat(refusal).as("a refusal").isNotNull();
    assertThat(refusal.field()).isEqualTo(row.field());
    assertThat(refusal.rule()).startsWith(row.rule());
    assertThat(refusal).hasMessageNotContaining("t-1");
  }

  private void checkImport(EntranceTable.Row row) throws IOException {
    BadEvent sample = BadEvent.of(row.defect(), SAMPLES.incrementAndGet());
    if (sample.before().isPresent()) {
      assertThat(imported(sample.before().get().archived()).accepted()).isEqualTo(1);
    }
    ImportSummary summary = imported(sample.archived());
    switch (row.verdict("import")) {
      case "accepted" -> assertThat(summary).isEqualTo(new ImportSummary(1, 0, Map.of()));
      case "dropped" -> assertThat(summary).isEqualTo(new ImportSummary(0, 1, Map.of()));
      default ->
          assertThat(summary.quarantined()).isEqualTo(Map.of(defect(row.verdict("import")), 1L));
    }
    assertThat(summary.read()).isEqualTo(1);
  }

  private static Defect defect(String label) {
    return Stream.of(Defect.values())
        .filter(defect -> defect.label().equals(label))
        .findFirst()
        .orElseThrow();
  }

  @Test
  void a_statement_with_one_bad_event_records_none() throws SQLException {
    long before = recorded();
    assertThatThrownBy(
            () -> {
              try (Statement statement = emitter.createStatement()) {
                statement.execute(
                    """
                    insert into cortex.events (type, source)
                    values ('task.failed', 'w'), ('task.faild', 'w'), ('task.failed', 'w')
                    """);
              }
            })
        .isInstanceOf(SQLException.class);
    assertThat(recorded()).isEqualTo(before);
  }

  @Test
  void a_list_or_a_stream_with_one_bad_event_records_none() throws SQLException {
    long before = recorded();
    List<EventDraft> drafts =
        List.of(
            draft(BadEvent.none()),
            draft(BadEvent.of("type unknown", SAMPLES.incrementAndGet())),
            draft(BadEvent.none()));
    assertThatThrownBy(() -> OUTBOX.emitAll(emitter, drafts))
        .isInstanceOf(InvalidEventException.class);
    assertThatThrownBy(() -> OUTBOX.copy(emitter, drafts.stream()))
        .isInstanceOf(InvalidEventException.class);
    assertThat(recorded()).isEqualTo(before);
  }

  @Test
  void an_import_records_the_good_ones_and_quarantines_the_bad_one() throws IOException {
    ByteArrayOutputStream lines = new ByteArrayOutputStream();
    for (BadEvent event :
        List.of(
            BadEvent.none(),
            BadEvent.of("type unknown", SAMPLES.incrementAndGet()),
            BadEvent.none())) {
      lines.writeBytes(event.archived());
      lines.write('\n');
    }
    assertThat(imported(lines.toByteArray()))
        .isEqualTo(new ImportSummary(2, 0, Map.of(Defect.UNKNOWN_TYPE, 1L)));
  }

  private ImportSummary imported(byte[] archive) throws IOException {
    Path file = directory.resolve("sample-" + SAMPLES.incrementAndGet() + ".jsonl");
    Files.write(file, archive);
    return new Importer(database.address("cortex_operator").dataSource(), ImportOptions.defaults())
        .run(List.of(file));
  }

  private Optional<String> insert(BadEvent event) throws SQLException {
    String columns =
        event.members().keySet().stream()
            .map(EntrancesTest::column)
            .collect(Collectors.joining(", "));
    String values =
        event.members().keySet().stream()
            .map(member -> parameter(member, "cortex.priority"))
            .collect(Collectors.joining(", "));
    execute("insert into cortex.events (" + columns + ") values (" + values + ")", event);
    return Optional.empty();
  }

  private Optional<String> call(BadEvent event) throws SQLException {
    Stream<String> given = event.members().keySet().stream();
    // A function's arguments without a default cannot be left out, only be null.
    Stream<String> missing =
        Stream.of("event_type", "source").filter(name -> !event.members().containsKey(name));
    String arguments =
        Stream.concat(
                given.map(member -> column(member) + " => " + parameter(member, "text")),
                missing.map(member -> column(member) + " => null"))
            .collect(Collectors.joining(", "));
    return execute("select cortex.emit(" + arguments + ")", event);
  }

  private static String column(String member) {
    return COLUMNS.getOrDefault(member, member);
  }

  private static String parameter(String member, String priorityType) {
    return switch (member) {
      case "payload", "metadata" -> "convert_from(?, 'UTF8')::jsonb";
      case "timestamp", "run_at" -> "?::timestamptz";
      case "priority" -> "?::" + priorityType;
      default -> "?";
    };
  }

  private Optional<String> execute(String sql, BadEvent event) throws SQLException {
    try (PreparedStatement statement = emitter.prepareStatement(sql)) {
      int bound = 0;
      for (Map.Entry<String, String> member : event.members().entrySet()) {
        if (member.getKey().equals("payload") || member.getKey().equals("metadata")) {
          statement.setBytes(++bound, BadEvent.bytes(member.getValue()));
        } else {
          statement.setString(++bound, text(member.getValue()).replaceFirst("^\\+", ""));
        }
      }
      if (!statement.execute()) {
        return Optional.empty();
      }
      try (ResultSet row = statement.getResultSet()) {
        row.next();
        return Optional.of(row.getString(1));
      }
    }
  }

  private Optional<String> emitAll(BadEvent event) {
    List<String> ids = OUTBOX.emitAll(emitter, List.of(draft(event)));
    return Optional.of(ids.get(0));
  }

  private Optional<String> copy(BadEvent event) {
    assertThat(OUTBOX.copy(emitter, List.of(draft(event)).iterator())).isEqualTo(1);
    return Optional.empty();
  }

  private static EventDraft draft(BadEvent event) {
    EventDraft draft =
        EventDraft.of(text(event.member("event_type")), text(event.member("source")));
    for (Map.Entry<String, String> member : event.members().entrySet()) {
      draft = with(draft, member.getKey(), member.getValue());
    }
    return draft;
  }

  private static EventDraft with(EventDraft draft, String member, String json) {
    return switch (member) {
      case "event_type", "source" -> draft;
      case "payload" -> draft.withPayload(json);
      case "metadata" -> draft.withMetadata(Json.parse("metadata", json));
      case "event_id" -> draft.withEventId(text(json));
      case "timestamp" -> draft.withOccurredAt(Instant.parse(text(json)));
      case "correlation_id" -> draft.withCorrelationId(text(json));
      case "causation_id" -> draft.withCausationId(text(json));
      case "key" -> draft.withKey(text(json));
      case "dedupe_key" -> draft.withDedupeKey(text(json));
      default -> throw new IllegalArgumentException(member);
    };
  }

  private static String text(String json) {
    try {
      return JSON.readValue(json, String.class);
    } catch (JsonProcessingException e) {
      throw new IllegalArgumentException(json, e);
    }
  }

  private long recorded() throws SQLException {
    try (Statement statement = owner.createStatement();
        ResultSet row = statement.executeQuery("select count(*) from cortex.events")) {
      row.next();
      return row.getLong(1);
    }
  }
}
