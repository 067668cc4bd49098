package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.cortex.events.cli.TestCommandLine.Answer;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/** What {@code cortex import} takes in, and what it says of it. */
@ExtendWith(PostgresExtension.class)
class ImportCommandTest {
  private static final ObjectMapper JSON = new ObjectMapper();

  private final TestDatabase database;
  private final Path archive;
  private TestCommandLine cortex;
  private TestSubscription subscription;

  ImportCommandTest(TestDatabase database, @TempDir Path archive) {
    this.database = database;
    this.archive = archive;
  }

  /** One good event, and one document that is none, on one line as old scripts wrote them. */
  @BeforeEach
  void an_archive() throws Exception {
    cortex = TestCommandLine.on(database);
    subscription = TestSubscription.in(database);
    String id = "evt_20251201_165420_" + subscription.type().replace(".", "");
    Files.writeString(
        archive.resolve("old.jsonl"),
        "{\"event_id\": \"%s\", \"event_type\": \"%s\", \"timestamp\": \"2025-12-01T22:54:20+0000\", \"source\": \"w\"}"
                .formatted(id, subscription.type())
            + " {\"event_type\": \"worker_presumed_dead\", \"of\": \"%s\"}%n"
                .formatted(subscription.type()));
  }

  @Test
  void the_summary_counts_what_was_read_accepted_and_quarantined() throws SQLException {
    Answer answer = cortex.run("import", archive.toString());
    assertThat(answer.status()).as(answer.err()).isZero();
    assertThat(answer.out().lines())
        .startsWith("read         2", "accepted     1", "duplicate    0", "quarantined  1")
        .hasSize(6)
        .last()
        .asString()
        .contains("cortex.quarantined");
    assertThat(subscription.recorded()).isEqualTo(1);
  }

  @Test
  void the_summary_is_a_json_object_too() throws IOException {
    JsonNode summary = summary();
    assertThat(summary.get("dry_run").booleanValue()).isFalse();
    assertThat(summary.get("read").intValue()).isEqualTo(2);
    assertThat(summary.get("accepted").intValue()).isEqualTo(1);
    assertThat(summary.get("quarantined").intValue()).isEqualTo(1);
    assertThat(summary.get("quarantined_by_reason")).hasSize(1);
  }

  @Test
  void importing_again_changes_nothing() throws Exception {
    summary();
    String quarantined = subscription.text("select count(*) from cortex.quarantined");
    JsonNode second = summary();
    assertThat(second.get("accepted").intValue()).isZero();
    assertThat(second.get("duplicate").intValue()).isPositive();
    assertThat(subscription.recorded()).isEqualTo(1);
    assertThat(subscription.text("select count(*) from cortex.quarantined")).isEqualTo(quarantined);
  }

  @Test
  void a_dry_run_says_the_same_and_writes_nothing() throws Exception {
    String quarantined = subscription.text("select count(*) from cortex.quarantined");
    Answer dry = cortex.run("import", "--dry-run", archive.toString());
    assertThat(dry.status()).as(dry.err()).isZero();
    assertThat(subscription.recorded()).isZero();
    assertThat(subscription.text("select count(*) from cortex.quarantined")).isEqualTo(quarantined);
    Answer real = cortex.run("import", archive.toString());
    assertThat(dry.out().lines().skip(1))
        .containsExactlyElementsOf(real.out().lines().limit(5).toList());
    assertThat(dry.out()).startsWith("dry run, nothing was written");
  }

  @Test
  void handlers_get_what_was_imported_only_when_told() throws SQLException {
    cortex.run("import", archive.toString());
    assertThat(subscription.states()).isEmpty();
  }

  @Test
  void handlers_get_what_is_imported_to_be_delivered() throws SQLException {
    Answer answer = cortex.run("import", "--deliver", archive.toString());
    assertThat(answer.status()).as(answer.err()).isZero();
    assertThat(subscription.states()).isEqualTo("available");
  }

  @Test
  void an_archive_that_is_not_there_is_not_found() {
    Answer answer = cortex.run("import", archive.resolve("nothing").toString());
    assertThat(answer.status()).isEqualTo(66);
    assertThat(answer.err()).contains("nothing").doesNotContain("\tat ");
  }

  @Test
  void a_type_for_older_lines_needs_a_source() {
    Answer answer = cortex.run("import", "--type", "task.failed", archive.toString());
    assertThat(answer.status()).isEqualTo(64);
    assertThat(answer.err()).contains("--source");
    assertThat(cortex.run("import").status()).isEqualTo(64);
  }

  private JsonNode summary() throws IOException {
    Answer answer = cortex.run("import", "--json", archive.toString());
    assertThat(answer.status()).as(answer.err()).isZero();
    return JSON.readTree(answer.out());
  }
}
