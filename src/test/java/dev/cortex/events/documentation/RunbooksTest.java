package dev.cortex.events.documentation;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.DatabaseAddress;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Json;
import dev.cortex.events.event.Priority;
import dev.cortex.events.spool.Postbox;
import dev.cortex.events.spool.Spool;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/**
 * The SQL of the documents runs as it stands, as the role that its first line names. Each block is
 * a transaction that is rolled back.
 */
@ExtendWith(PostgresExtension.class)
class RunbooksTest {
  private static final Path RUNBOOKS = Document.ROOT.resolve("ops/runbooks");
  private static final String ROLE_LINE = "-- as (auditor|operator|emitter|worker|owner)";

  /** What the documents speak of: a handler, an event that is dead in it, a worker. */
  private static final String SEED =
      """
      insert into cortex.event_types (type) values ('task.failed') on conflict do nothing;
      select cortex.register_handler('task-board', 'transactional', 20::smallint, '30 seconds', '{task.failed}');
      select cortex.emit('task.failed', 'worker-7', '{}', event_id => 'evt_20251201_165420_3dc39e75a77d');
      insert into cortex.workers (name, version, stopped_at, vanished) values ('host-7:4711', '1', now(), true);
      update cortex.deliveries set run_at = 'infinity', attempt = 20;
      insert into cortex.attempts (event, event_at, started_at, worker_id, outcome, handler_id, generation, attempt, reason, error)
      select d.event, d.event_at, now(), 1, 'dead', d.handler_id, 0, 20, 'handler_failed', 'no board' from cortex.deliveries d;
      """;

  private final TestDatabase database;

  RunbooksTest(TestDatabase database) {
    this.database = database;
  }

  @BeforeAll
  static void what_the_documents_speak_of(TestDatabase database) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement()) {
      statement.execute(SEED);
    }
  }

  /** The README's blocks are run by ReadmeTest, one after the other. */
  static List<Document.Block> every_block_of_sql() throws IOException {
    return Document.all().stream()
        .filter(document -> !document.path().endsWith("README.md") || isOfOperations(document))
        .flatMap(document -> document.blocks("sql").stream())
        .toList();
  }

  private static boolean isOfOperations(Document document) {
    return document.path().startsWith(Document.ROOT.resolve("ops"));
  }

  @ParameterizedTest
  @MethodSource("every_block_of_sql")
  void a_block_runs_as_the_role_that_it_names(Document.Block block) throws SQLException {
    try (Connection connection = address(block).dataSource().getConnection();
        Statement statement = connection.createStatement()) {
      connection.setAutoCommit(false);
      statement.execute(block.text());
      connection.rollback();
    }
  }

  @Test
  void the_query_for_the_wake_up_lock_sees_who_sleeps() throws SQLException {
    try (Connection sleeper = database.connection();
        Statement lock = sleeper.createStatement()) {
      lock.execute("select pg_advisory_lock(cortex.wake_key())");
      List<Document.Block> blocks = blocks("wake-up.md");
      assertThat(column(blocks.get(0), "mode")).containsExactly("exclusive");
    }
  }

  @Test
  void the_query_for_workers_sees_who_lives() throws SQLException {
    try (Connection worker = database.connection();
        Statement statement = worker.createStatement()) {
      statement.execute(
          "insert into cortex.workers (name, version) values ('host-8:1', '1'), ('host-8:2', '1')");
      statement.execute(
          """
          select pg_advisory_lock(cortex.worker_lock_class(), worker_id)
            from cortex.workers where name = 'host-8:2'
          """);
      List<Document.Block> blocks = blocks("oldest-due.md");
      assertThat(column(blocks.get(1), "lives")).containsExactly("f", "t");
    }
  }

  @Test
  void the_query_for_partitions_sees_the_end_of_the_last_one() throws SQLException {
    List<Document.Block> blocks = blocks("partitions.md");
    assertThat(column(blocks.get(0), "last_ends_at")).hasSize(2).doesNotContainNull();
  }

  @Test
  void what_a_spool_held_of_an_unknown_type_is_emitted_with_all_that_was_said(
      @TempDir Path directory) throws SQLException {
    Spool spool = Spool.at(directory.resolve("spool"));
    EventDraft whole =
        EventDraft.of("task.parked", "worker \"7\"")
            .withEventId("evt_20251201_165420_parked")
            .withOccurredAt(Instant.parse("2025-12-01T16:54:20.5Z"))
            .withRunAt(Instant.parse("2999-01-01T00:00:00Z"))
            .withPriority(Priority.HIGH)
            .withCorrelationId("c-1")
            .withCausationId("evt_20251201_165419_1")
            .withKey("k-1")
            .withDedupeKey("d-1")
            .withMetadata(Json.parse("metadata", "{\"tags\": [\"a\"]}"))
            .withPayload("{\"n\": [1, null]}")
            .withExtensions(Json.parse("extensions", "{\"host\": \"h-1\"}"));
    EventDraft bare = EventDraft.of("task.parked", "w").withEventId("evt_20251201_165420_bare");
    EventDraft unknown = EventDraft.of("task.unheard", "w");
    Postbox.away(spool).postAll(List.of(whole, bare, unknown));
    try (Connection connection = database.address("cortex_emitter").dataSource().getConnection()) {
      assertThat(spool.drain(connection).quarantined()).isEqualTo(3);
    }
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement()) {
      statement.execute("insert into cortex.event_types (type) values ('task.parked')");
    }

    Document.Block repair = blocks("spool.md").get(1);
    for (int i = 0; i < 2; i++) {
      assertThat(column(repair, "emit"))
          .containsExactly("evt_20251201_165420_parked", "evt_20251201_165420_bare");
    }
    assertThat(
            column(
                database.address("cortex_auditor"),
                """
                select concat_ws('|', source, cortex.iso_time(occurred_at), cortex.iso_time(run_at), priority, correlation_id,
                                 causation_id, key, dedupe_key, metadata, payload, extensions) as said
                  from cortex.event_log where type = 'task.parked' order by id
                """,
                "said"))
        .satisfiesExactly(
            first ->
                assertThat(first)
                    .isEqualTo(
                        "worker \"7\"|2025-12-01T16:54:20.500000Z|2999-01-01T00:00:00Z|high|c-1|"
                            + "evt_20251201_165419_1|k-1|d-1|{\"tags\": [\"a\"]}|{\"n\": [1, null]}|{\"host\": \"h-1\"}"),
            second -> assertThat(second).matches("w\\|[^|]+"));
  }

  @Test
  void every_block_names_a_role() throws IOException {
    assertThat(every_block_of_sql())
        .isNotEmpty()
        .allSatisfy(
            block -> assertThat(block.text().lines().findFirst().orElse("")).matches(ROLE_LINE));
  }

  @Test
  void a_runbook_has_a_sign_a_query_a_fix_and_a_check() throws IOException {
    for (Path runbook : runbooks()) {
      List<String> headings =
          Files.readAllLines(runbook).stream().filter(line -> line.startsWith("## ")).toList();
      assertThat(headings)
          .as(runbook.toString())
          .containsExactly("## Sign", "## Query", "## Fix", "## Check");
    }
  }

  @Test
  void every_runbook_is_in_the_table_of_alarms() throws IOException {
    String table = Files.readString(Document.ROOT.resolve("ops/README.md"));
    assertThat(runbooks())
        .allSatisfy(runbook -> assertThat(table).contains("(runbooks/" + runbook.getFileName()));
  }

  private List<String> column(Document.Block block, String name) throws SQLException {
    return column(address(block), block.text(), name);
  }

  private static List<String> column(DatabaseAddress address, String sql, String name)
      throws SQLException {
    try (Connection connection = address.dataSource().getConnection();
        Statement statement = connection.createStatement();
        ResultSet rows = statement.executeQuery(sql)) {
      List<String> values = new ArrayList<>();
      while (rows.next()) {
        values.add(rows.getString(name));
      }
      return values;
    }
  }

  private DatabaseAddress address(Document.Block block) {
    String role = block.text().lines().findFirst().orElse("").replace("-- as ", "");
    return role.equals("owner") ? database.address() : database.address("cortex_" + role);
  }

  private static List<Document.Block> blocks(String runbook) {
    return Document.of(RUNBOOKS.resolve(runbook)).blocks("sql");
  }

  private static List<Path> runbooks() throws IOException {
    try (Stream<Path> files = Files.list(RUNBOOKS)) {
      return files.sorted().toList();
    }
  }
}
