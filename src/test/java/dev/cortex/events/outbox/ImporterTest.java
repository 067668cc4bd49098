package dev.cortex.events.outbox;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.Defect;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CompletableFuture;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/** Imports as an operator, and looks as the owner. */
@ExtendWith(PostgresExtension.class)
class ImporterTest {
  private final TestDatabase database;
  @TempDir private Path archive;
  private Connection owner;

  ImporterTest(TestDatabase database) {
    this.database = database;
  }

  @BeforeEach
  void connect() throws SQLException {
    owner = database.superuserAddress().dataSource().getConnection();
    execute("insert into cortex.event_types (type) values ('task.failed') on conflict do nothing");
    execute("delete from cortex.events");
    execute("delete from cortex.dedupe_keys");
    execute("delete from cortex.quarantined");
    execute("delete from cortex.deliveries");
  }

  @AfterEach
  void disconnect() throws SQLException {
    owner.close();
  }

  @Test
  void archives_of_all_shapes_are_taken_in_and_a_second_time_changes_nothing() throws Exception {
    write("a/one.json", event(1).replace(", ", ",\n  "));
    write("a/two.jsonl", event(2) + " " + event(3) + "\n" + event(4).replace(": ", ":\n"));
    Files.write(file("b/three.jsonl.gz"), gzip(event(5) + "\n" + event(6)));
    write("notes.txt", "not looked at");

    assertThat(run()).isEqualTo(new ImportSummary(6, 0, Map.of()));
    assertThat(run()).isEqualTo(new ImportSummary(0, 6, Map.of()));
    assertThat(strings("select event_id from cortex.events order by id"))
        .containsExactly(id(1), id(2), id(3), id(4), id(5), id(6));
  }

  @Test
  void an_event_is_recorded_as_it_was_and_handed_to_nobody() throws Exception {
    execute(
        """
        select cortex.register_handler('h', 'transactional', 3::smallint, '1 second', array['task.*'])
        """);
    write(
        "one.jsonl",
        """
        {"event_id": "evt_20251201_165420_a1", "event_type": "task.failed", "source": "w-1", "version": 2,
         "timestamp": "2025-12-01T16:54:20.5-06:00", "correlation_id": "",
         "metadata": {"priority": "low", "master": "m"}, "payload": {"workers": [null, "w-2"]}}
        """);
    assertThat(run().accepted()).isEqualTo(1);
    assertThat(
            strings(
                """
                select occurred_at at time zone 'UTC' || ' ' || priority || ' ' || metadata || ' ' || payload || ' '
                       || extensions || ' ' || log_only || ' ' || (correlation_id is null)
                  from cortex.events
                """))
        .containsExactly(
            "2025-12-01 22:54:20.5 low {\"master\": \"m\"} {\"workers\": [null, \"w-2\"]} {\"version\": 2} true true");
    assertThat(strings("select event::text from cortex.deliveries")).isEmpty();

    write("two.jsonl", event(2));
    run(ImportOptions.defaults().withDeliver(true));
    assertThat(strings("select event::text from cortex.deliveries")).hasSize(1);
  }

  @Test
  void what_is_no_event_is_kept_with_its_origin_and_reason_and_costs_nothing_else()
      throws Exception {
    String presumedDead = "{\"event_type\":\"worker_presumed_dead\", \"worker\": \"w-1\"}";
    write(
        "mixed.jsonl",
        String.join(
            "\n",
            event(1),
            presumedDead,
            "not json at all",
            event(2).replace("task.failed", "task.faild"),
            "[1, 2]",
            "{\"event_id\": \"evt_",
            event(3),
            event(3).replace("w-1", "w-9"),
            event(4).replace("{\"n\": 4}", "{\"n\": \"" + "x".repeat(300_000) + "\"}"),
            "{\"other\": \"document\"}",
            event(5)));
    Map<Defect, Long> quarantined =
        Map.of(
            Defect.MISSING_FIELD, 1L,
            Defect.INVALID_JSON, 2L,
            Defect.UNKNOWN_TYPE, 1L,
            Defect.NOT_AN_EVENT, 2L,
            Defect.CONFLICT, 1L,
            Defect.TOO_LARGE, 1L);
    assertThat(run()).isEqualTo(new ImportSummary(3, 0, quarantined));
    assertThat(run()).isEqualTo(new ImportSummary(0, 11, Map.of()));
    String path = archive.resolve("mixed.jsonl").toString();
    assertThat(
            strings(
                """
                select replace(origin, '%s', 'mixed') || ' ' || reason from cortex.quarantined
                 order by substring(origin from '[0-9]+$')::integer
                """
                    .formatted(path)))
        .containsExactly(
            "mixed:2 missing_field",
            "mixed:3 invalid_json",
            "mixed:4 unknown_type",
            "mixed:5 not_an_event",
            "mixed:6 invalid_json",
            "mixed:8 conflict",
            "mixed:9 too_large",
            "mixed:10 not_an_event");
    assertThat(
            strings(
                "select convert_from(raw, 'UTF8') from cortex.quarantined where origin like '%:2'"))
        .containsExactly(presumedDead);
    assertThat(strings("select detail from cortex.quarantined where origin like '%:4'"))
        .containsExactly("type must be a known type (did you mean \"task.failed\"?)");
  }

  @Test
  void an_unknown_type_is_taken_in_where_the_settings_allow_it() throws Exception {
    execute("update cortex.settings set allow_unknown_types = true");
    write("one.jsonl", event(1).replace("task.failed", "odd.event"));
    assertThat(run()).isEqualTo(new ImportSummary(1, 0, Map.of()));
    execute("update cortex.settings set allow_unknown_types = false");
  }

  @Test
  void older_lines_become_payloads_of_the_given_type_once() throws Exception {
    write(
        "older.jsonl",
        """
        {"event_type": "worker_presumed_dead", "worker": "w-1", "timestamp": "2025-12-01T16:54:20-06:00"}
        {"worker": "w-2"}
        {"event_id": "evt_20251201_165420_x", "event_type": "undotted", "source": "s", "timestamp": "2025-12-01T16:54:20Z"}
        %s
        [1]
        """
            .formatted(event(1)));
    ImportOptions options = ImportOptions.defaults().withOlderLines("task.failed", "older-daemon");
    assertThat(run(options)).isEqualTo(new ImportSummary(4, 0, Map.of(Defect.NOT_AN_EVENT, 1L)));
    assertThat(run(options)).isEqualTo(new ImportSummary(0, 5, Map.of()));
    assertThat(
            strings(
                """
                select substr(event_id, 1, 20) || payload::text from cortex.events
                 where source = 'older-daemon' order by id limit 2
                """))
        .containsExactly(
            "evt_20251201_225420_{\"worker\": \"w-1\", \"timestamp\": \"2025-12-01T16:54:20-06:00\", \"event_type\": \"worker_presumed_dead\"}",
            "evt_00000000_000000_{\"worker\": \"w-2\"}");
  }

  @Test
  void a_dry_run_tells_the_same_and_writes_nothing() throws Exception {
    StringBuilder lines = new StringBuilder();
    for (int i = 0; i < 1200; i++) {
      lines.append(event(i % 1100)).append('\n');
    }
    lines.append("junk\n");
    write("many.jsonl", lines.toString());
    ImportSummary expected = new ImportSummary(1100, 100, Map.of(Defect.INVALID_JSON, 1L));
    assertThat(run(ImportOptions.defaults().withDryRun(true).withDeliver(true)))
        .isEqualTo(expected);
    assertThat(strings("select id::text from cortex.events")).isEmpty();
    assertThat(strings("select id::text from cortex.quarantined")).isEmpty();
    assertThat(run()).isEqualTo(expected);
  }

  @Test
  void a_damaged_file_gives_what_can_be_read_and_is_kept_itself() throws Exception {
    StringBuilder lines = new StringBuilder();
    for (int i = 0; i < 2000; i++) {
      lines.append(event(i)).append('\n');
    }
    byte[] whole = gzip(lines.toString());
    Files.write(file("cut.jsonl.gz"), Arrays.copyOf(whole, whole.length / 2));
    Files.write(file("plain.jsonl.gz"), event(5000).getBytes(StandardCharsets.UTF_8));
    ImportSummary summary = run();
    assertThat(summary.accepted()).isBetween(100L, 1999L);
    assertThat(summary.quarantined()).containsEntry(Defect.DAMAGED_FILE, 2L);
    assertThat(run().accepted()).isZero();
  }

  @Test
  void two_imports_of_one_archive_at_once_record_it_once() throws Exception {
    StringBuilder lines = new StringBuilder();
    for (int i = 0; i < 3000; i++) {
      lines.append(i % 100 == 99 ? "{\"no\": %d}".formatted(i) : event(i)).append('\n');
    }
    write("many.jsonl", lines.toString());
    CompletableFuture<ImportSummary> other = CompletableFuture.supplyAsync(this::run);
    ImportSummary one = run();
    assertThat(one.accepted() + other.join().accepted()).isEqualTo(2970);
    assertThat(one.duplicate() + other.join().duplicate()).isEqualTo(3000);
    assertThat(strings("select count(*)::text from cortex.events")).containsExactly("2970");
    assertThat(strings("select count(*)::text from cortex.quarantined")).containsExactly("30");
  }

  @Test
  void a_file_that_is_not_there_is_named() {
    Path missing = archive.resolve("missing.jsonl");
    assertThatThrownBy(() -> run(ImportOptions.defaults(), missing))
        .isInstanceOf(ImportFailedException.class)
        .hasMessageContaining("missing.jsonl must exist");
  }

  private static String id(int n) {
    return "evt_20251201_165420_n" + n;
  }

  private static String event(int n) {
    return """
        {"event_id": "%s", "event_type": "task.failed", "source": "w-1", \
        "timestamp": "2025-12-01T22:54:20+0000", "payload": {"n": %d}}"""
        .formatted(id(n), n);
  }

  private ImportSummary run() {
    return run(ImportOptions.defaults());
  }

  private ImportSummary run(ImportOptions options) {
    return run(options, archive);
  }

  private ImportSummary run(ImportOptions options, Path path) {
    return new Importer(database.address("cortex_operator").dataSource(), options)
        .run(List.of(path));
  }

  private Path file(String name) throws IOException {
    Path file = archive.resolve(name);
    Files.createDirectories(file.getParent());
    return file;
  }

  private void write(String name, String text) throws IOException {
    Files.writeString(file(name), text);
  }

  private static byte[] gzip(String text) throws IOException {
    ByteArrayOutputStream bytes = new ByteArrayOutputStream();
    try (GZIPOutputStream compressed = new GZIPOutputStream(bytes)) {
      compressed.write(text.getBytes(StandardCharsets.UTF_8));
    }
    return bytes.toByteArray();
  }

  private void execute(String sql) throws SQLException {
    try (Statement statement = owner.createStatement()) {
      statement.execute(sql);
    }
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
