package dev.cortex.events.cli;

import static dev.cortex.events.cli.TestCommandLine.bytes;
import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.cortex.events.cli.TestCommandLine.Answer;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What each command answers, and with which exit status it ends. */
@ExtendWith(PostgresExtension.class)
class CommandsTest {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final AtomicInteger HANDLERS = new AtomicInteger();

  private final TestDatabase database;
  private final String handler = "cli-handler-" + HANDLERS.incrementAndGet();
  private final String type = "cli.t" + HANDLERS.get();
  private TestCommandLine cortex;

  CommandsTest(TestDatabase database) {
    this.database = database;
  }

  @BeforeEach
  void a_handler_of_its_own() throws SQLException {
    cortex = TestCommandLine.on(database);
    run("insert into cortex.event_types (type) values ('" + type + "')");
    run(
        "select cortex.register_handler('"
            + handler
            + "', 'transactional', 20::smallint, '30 s', array['"
            + type
            + "'])");
  }

  @Test
  void emit_prints_the_public_id_of_what_it_emitted() {
    Answer answer = cortex.run("emit", type, "--source", "me", "--payload", "{\"a\": 1}");
    assertThat(answer.status()).as(answer.err()).isZero();
    assertThat(answer.out()).matches("evt_[0-9]{8}_[0-9]{6}_[0-9a-f]+\\R");
  }

  @Test
  void an_unknown_type_is_refused_with_the_nearest_one() {
    Answer answer = cortex.run("emit", "task.faild", "--source", "me");
    assertThat(answer.status()).isEqualTo(65);
    assertThat(answer.err())
        .contains("type must be a known type")
        .contains("task.failed")
        .doesNotContain("\tat ");
  }

  @Test
  void lines_have_fates_of_their_own() {
    Answer answer =
        cortex.run(
            bytes(
                "{\"event_type\": \"%1$s\", \"source\": \"a\"}\nnonsense\n{\"event_type\": \"%1$s\"}\n{\"event_type\": \"%1$s\", \"source\": \"b\"}\n"
                    .formatted(type)),
            "emit",
            "-");
    assertThat(answer.status()).isEqualTo(65);
    assertThat(answer.out().lines()).hasSize(2).allMatch(id -> id.startsWith("evt_"));
    assertThat(answer.err()).contains("line 2").contains("line 3").contains("source");
  }

  @Test
  void an_import_says_what_it_did_and_changes_nothing_the_second_time(@TempDir Path directory)
      throws Exception {
    Files.writeString(
        directory.resolve("old.jsonl"),
        "{\"event_id\": \"evt_20251201_165420_%1$s\", \"event_type\": \"%2$s\", \"timestamp\": \"2025-12-01T22:54:20+0000\", \"source\": \"w\"} {\"event_type\":\"worker_presumed_dead\"}\n"
            .formatted(handler.replaceAll("[^a-z0-9]", ""), type));
    JsonNode first = JSON.readTree(cortex.run("import", directory.toString(), "--json").out());
    JsonNode second = JSON.readTree(cortex.run("import", directory.toString(), "--json").out());
    assertThat(first.get("accepted").intValue()).isEqualTo(1);
    assertThat(second.get("accepted").intValue()).isZero();
    assertThat(second.get("duplicate").intValue()).isEqualTo(1);
    assertThat(cortex.run("status", "--json").out())
        .contains(handler)
        .doesNotContain(
            "\"handler\":\""
                + handler
                + "\",\"priority\":\"medium\",\"paused\":false,\"available\":1");
  }

  @Test
  void the_log_is_printed_as_one_envelope_to_a_line() throws Exception {
    cortex.run("emit", type, "--source", "me", "--payload", "{\"a\": 1}", "--priority", "high");
    Answer answer = cortex.run("events", "--type", type);
    assertThat(answer.status()).isZero();
    assertThat(answer.out().lines()).hasSize(1);
    JsonNode envelope = JSON.readTree(answer.out());
    assertThat(envelope.get("event_type").textValue()).isEqualTo(type);
    assertThat(envelope.at("/metadata/priority").textValue()).isEqualTo("high");
    assertThat(envelope.at("/payload/a").intValue()).isEqualTo(1);
  }

  @Test
  void an_event_is_traced_cancelled_and_audited() {
    String id = cortex.run("emit", type, "--source", "me").out().strip();
    assertThat(cortex.run("trace", id).out()).contains(id);
    assertThat(cortex.run("cancel", id, "--reason", "a test").status()).isZero();
    assertThat(cortex.run("audit", id).out()).contains("cancel").contains(handler);
    assertThat(cortex.run("trace", "evt_20200101_000000_1").status()).isEqualTo(66);
  }

  @Test
  void an_operators_verb_needs_a_reason() {
    String id = cortex.run("emit", type, "--source", "me").out().strip();
    Answer answer = cortex.run("cancel", id);
    assertThat(answer.status()).isEqualTo(64);
    assertThat(answer.err()).contains("--reason");
  }

  @Test
  void a_handler_is_paused_and_resumed() {
    assertThat(cortex.run("pause", handler, "--reason", "a test").status()).isZero();
    assertThat(cortex.run("handlers").out()).contains(handler);
    assertThat(cortex.run("resume", handler, "--reason", "a test").status()).isZero();
    assertThat(cortex.run("pause", "no-such-handler", "--reason", "a test").status()).isEqualTo(66);
  }

  @ParameterizedTest
  @ValueSource(strings = {"status", "handlers", "schedules"})
  void a_question_answers_in_one_json_document_too(String question) throws Exception {
    Answer answer = cortex.run(question, "--json");
    assertThat(answer.status()).as(answer.err()).isZero();
    assertThat(JSON.readTree(answer.out()).isArray()).isTrue();
  }

  @Test
  void migrating_again_applies_nothing() {
    Answer answer = cortex.run("migrate");
    assertThat(answer.status()).as(answer.err()).isZero();
    assertThat(answer.out()).contains("up to date");
  }

  @Test
  void a_wrong_call_ends_with_64_and_a_database_that_is_away_with_69() {
    assertThat(cortex.run("no-such-command").status()).isEqualTo(64);
    assertThat(cortex.run("emit", type).status()).isEqualTo(64);
    Answer away = TestCommandLine.at("postgresql://u:p@127.0.0.1:1/db").run("status");
    assertThat(away.status()).isEqualTo(69);
    assertThat(away.err()).startsWith("cortex: ").doesNotContain("u:p@").doesNotContain("\tat ");
  }

  @Test
  void escape_sequences_in_data_do_nothing_to_a_terminal() {
    cortex.run(
        "emit", type, "--source", "\u001b]52;c;evil\u0007", "--correlation", "corr-" + handler);
    Answer answer = cortex.run("trace", "corr-" + handler);
    assertThat(answer.status()).as(answer.err()).isZero();
    assertThat(answer.out()).contains("evil").doesNotContain("\u001b").doesNotContain("\u0007");
  }

  private void run(String sql) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }
}
