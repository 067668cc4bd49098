package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.cli.TestCommandLine.Answer;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** {@code cortex migrate-from} on a directory as the old scripts left it. */
@ExtendWith(PostgresExtension.class)
class MigrateFromCommandTest {
  private final TestDatabase database;
  private TestCommandLine cortex;

  MigrateFromCommandTest(TestDatabase database) {
    this.database = database;
  }

  @BeforeEach
  void nothing_recorded_and_a_handler_for_everything() throws SQLException {
    cortex = TestCommandLine.on(database);
    for (String table : List.of("events", "deliveries", "dedupe_keys", "quarantined")) {
      execute("delete from cortex." + table);
    }
    execute(
        "select cortex.register_handler('everything', 'transactional', 5::smallint, '30 s', array['*'])");
  }

  private static Path old() throws URISyntaxException {
    return Path.of(
        Objects.requireNonNull(MigrateFromCommandTest.class.getResource("old-system")).toURI());
  }

  @Test
  void everything_readable_is_recorded_the_queue_is_delivered_and_a_second_run_changes_nothing()
      throws Exception {
    Answer first = cortex.run("migrate-from", old().toString());
    assertThat(first.status()).as(first.err()).isZero();
    assertThat(first.out().lines())
        .containsExactly(
            "PART     READ  ACCEPTED  DUPLICATE  QUARANTINED",
            "queue       3         2          0            1",
            "archive     3         3          0            0",
            "logs        7         3          2            2",
            "(kept in cortex.quarantined: origin, reason and detail of each; ops/runbooks/quarantine.md)");
    List<String> recorded = rows("select line from cortex.event_log order by line");
    assertThat(recorded).hasSize(8);
    assertThat(
            rows(
                "select e.event_id from cortex.deliveries d join cortex.events e on e.id = d.event order by 1"))
        .containsExactly("evt_20251203_090000_aa01bb02cc03", "evt_20251203_090001_aa01bb02cc04");
    List<String> quarantined =
        rows(
            "select concat_ws(' ', regexp_replace(origin, '.*/', ''), reason) from cortex.quarantined order by origin");
    assertThat(quarantined)
        .containsExactly(
            "evt_20251203_090002_aa01bb02cc05.json:1 invalid_json",
            "task-events.jsonl.gz:2 unknown_type",
            "worker-events.jsonl:5 missing_field");

    Answer second = cortex.run("migrate-from", "--json", old().toString());
    assertThat(second.status()).as(second.err()).isZero();
    assertThat(second.out())
        .doesNotContainPattern("\"accepted\":[1-9]")
        .doesNotContainPattern("\"quarantined\":[1-9]");
    assertThat(rows("select line from cortex.event_log order by line")).isEqualTo(recorded);
    assertThat(rows("select event::text from cortex.deliveries")).hasSize(2);
    assertThat(rows("select origin from cortex.quarantined")).hasSize(3);
  }

  @Test
  void what_was_delivered_once_and_handled_is_not_delivered_again() throws Exception {
    cortex.run("migrate-from", old().toString());
    execute("delete from cortex.deliveries");
    cortex.run("migrate-from", old().toString());
    assertThat(rows("select event::text from cortex.deliveries")).isEmpty();
  }

  @ParameterizedTest
  @ValueSource(strings = {"", "coordination", "coordination/events"})
  void the_directory_is_found_from_whichever_end_it_is_named(String part) throws Exception {
    Answer answer = cortex.run("migrate-from", "--dry-run", old().resolve(part).toString());
    assertThat(answer.status()).as(answer.err()).isZero();
    assertThat(answer.out()).contains("dry run, nothing was written").contains("archive     3");
    assertThat(rows("select id::text from cortex.events")).isEmpty();
    assertThat(rows("select event::text from cortex.deliveries")).isEmpty();
  }

  @Test
  void older_lines_are_taken_as_events_when_told_as_what() throws Exception {
    Answer answer =
        cortex.run(
            "migrate-from", "--type", "worker.failed", "--source", "older", old().toString());
    assertThat(answer.status()).as(answer.err()).isZero();
    assertThat(rows("select type from cortex.events where source = 'older'"))
        .containsExactly("worker.failed");
  }

  @Test
  void an_empty_file_is_quarantined_and_links_and_other_files_are_named(@TempDir Path directory)
      throws Exception {
    Path queue = Files.createDirectories(directory.resolve("events/queue"));
    Files.createFile(queue.resolve("evt_20251203_090000_empty1.json"));
    Files.createFile(queue.resolve("evt_20251203_090000_empty2.json"));
    Files.createFile(directory.resolve("events/quiet-events.jsonl"));
    Files.createSymbolicLink(
        queue.resolve("linked.json"), old().resolve("coordination/events/task-events.jsonl.gz"));
    Files.createSymbolicLink(directory.resolve("events/archive"), old());
    Files.createFile(queue.resolve(".lock"));

    Answer first = cortex.run("migrate-from", directory.toString());
    assertThat(first.status()).as(first.err()).isZero();
    assertThat(first.out()).contains("queue       2         0          0            2");
    assertThat(
            rows(
                "select concat_ws(' ', regexp_replace(origin, '.*_', ''), reason, detail) from cortex.quarantined order by origin"))
        .containsExactly(
            "empty1.json invalid_json file must hold an event, holds nothing",
            "empty2.json invalid_json file must hold an event, holds nothing");
    assertThat(first.err())
        .contains("3 not read")
        .contains("events/archive")
        .contains("queue/linked.json")
        .contains("queue/.lock")
        .doesNotContain("quiet-events");
    assertThat(cortex.run("migrate-from", directory.toString()).out())
        .contains("queue       2         0          2            0");
  }

  @Test
  void a_queue_that_nobody_would_handle_is_refused_before_anything_is_recorded() throws Exception {
    execute("delete from cortex.subscriptions");
    for (String[] command :
        new String[][] {
          {"migrate-from", old().toString()}, {"migrate-from", "--dry-run", old().toString()}
        }) {
      Answer answer = cortex.run(command);
      assertThat(answer.status()).isEqualTo(78);
      assertThat(answer.err())
          .contains("queue has events to be delivered, and no handler is known");
    }
    assertThat(rows("select id::text from cortex.events")).isEmpty();
  }

  @Test
  void a_directory_that_has_none_of_the_parts_is_told_what_is_missing(@TempDir Path directory) {
    Answer answer = cortex.run("migrate-from", directory.toString());
    assertThat(answer.status()).isEqualTo(66);
    assertThat(answer.err())
        .contains(directory + " must hold coordination/events with queue, archive or *.jsonl");
  }

  @Test
  void a_directory_without_events_is_not_found() throws Exception {
    Answer answer = cortex.run("migrate-from", old().resolve("nothing").toString());
    assertThat(answer.status()).isEqualTo(66);
    assertThat(answer.err()).contains("nothing").doesNotContain("\tat ");
  }

  private void execute(String sql) throws SQLException {
    try (Connection connection = database.superuserAddress().dataSource().getConnection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private List<String> rows(String sql) throws SQLException {
    List<String> rows = new ArrayList<>();
    try (Connection connection = database.superuserAddress().dataSource().getConnection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(sql)) {
      while (row.next()) {
        rows.add(row.getString(1));
      }
    }
    return rows;
  }
}
