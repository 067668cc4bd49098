package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.cortex.events.cli.TestCommandLine.Answer;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.sql.SQLException;
import java.util.List;
import java.util.stream.Stream;
import java.util.stream.StreamSupport;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What the commands that only look answer, for people and for machines. */
@ExtendWith(PostgresExtension.class)
class QuestionsTest {
  private static final ObjectMapper JSON = new ObjectMapper();

  /** Sets the clipboard of a terminal that obeys it. */
  private static final String EVIL = "\u001b]52;c;evil\u0007\u202e";

  private final TestDatabase database;
  private TestCommandLine cortex;
  private TestSubscription subscription;

  QuestionsTest(TestDatabase database) {
    this.database = database;
  }

  @BeforeEach
  void a_subscription_of_its_own() throws SQLException {
    cortex = TestCommandLine.on(database);
    subscription = TestSubscription.in(database);
  }

  @Test
  void a_priority_that_there_is_not_is_a_wrong_call() {
    Answer answer = cortex.run("events", "--priority", "urgent");
    assertThat(answer.status()).isEqualTo(64);
    assertThat(answer.err())
        .contains("--priority must be critical, high, medium or low, was \"urgent\"");
  }

  @Test
  void status_names_a_worker_that_polls() throws Exception {
    try (var connection = database.connection();
        var statement = connection.createStatement()) {
      statement.execute(
          "insert into cortex.workers (name, version, polls) values ('deaf', 'test', true)");
      assertThat(answer("status")).contains("worker deaf polls: notifications do not reach it");
      statement.execute("update cortex.workers set stopped_at = now() where name = 'deaf'");
      assertThat(answer("status")).doesNotContain("deaf");
    }
  }

  @Test
  void status_counts_what_waits_per_handler_and_priority() throws IOException {
    emit("--priority", "high");
    emit("--run-at", "2999-01-01T00:00:00Z", "--priority", "high");
    assertThat(answer("status").lines())
        .anyMatch(line -> line.startsWith("HANDLER") && line.contains("OLDEST DUE"))
        .anyMatch(line -> line.matches(subscription.handler() + " +high +1 +1 +0 .*"));
    JsonNode row = row("handler", subscription.handler(), "priority", "high", "status");
    assertThat(row.get("available").intValue()).isEqualTo(1);
    assertThat(row.get("scheduled").intValue()).isEqualTo(1);
  }

  @Test
  void handlers_are_listed_with_what_they_subscribe_to() throws IOException {
    assertThat(answer("handlers"))
        .containsPattern(
            subscription.handler() + " .* " + subscription.type().replace(".", "\\.") + "\\R");
    JsonNode row = row("handler", subscription.handler(), "mode", "transactional", "handlers");
    assertThat(row.get("max_attempts").intValue()).isEqualTo(20);
    assertThat(row.get("paused_at").isNull()).isTrue();
    assertThat(row.get("patterns").get(0).textValue()).isEqualTo(subscription.type());
  }

  @Test
  void schedules_are_listed_with_their_problems() throws Exception {
    String name = "every-" + subscription.type();
    subscription.run(
        "insert into cortex.schedules (name, cron, zone, type) values (?, 'whenever', 'UTC', ?)",
        name,
        subscription.type());
    assertThat(answer("schedules")).contains(name).contains("whenever");
    JsonNode row = row("schedule", name, "cron", "whenever", "schedules");
    assertThat(row.get("problem").textValue()).isNotEmpty();
    assertThat(row.get("last_fired_at").isNull()).isTrue();
  }

  @ParameterizedTest
  @ValueSource(strings = {"status", "handlers", "schedules"})
  void a_question_answers_in_one_json_array_too(String question) throws IOException {
    assertThat(JSON.readTree(answer(question, "--json")).isArray()).isTrue();
  }

  @Test
  void the_log_is_printed_as_one_envelope_to_a_line() throws IOException {
    emit("--payload", "{\"a\": 1}", "--priority", "high");
    emit("--payload", "{\"a\": \"two\\nlines\"}");
    String log = answer("events", "--type", subscription.type());
    assertThat(log.lines()).hasSize(2);
    JsonNode envelope = JSON.readTree(log.lines().findFirst().orElseThrow());
    assertThat(envelope.get("event_type").textValue()).isEqualTo(subscription.type());
    assertThat(envelope.at("/metadata/priority").textValue()).isEqualTo("high");
    assertThat(envelope.at("/payload/a").intValue()).isEqualTo(1);
  }

  @Test
  void the_log_is_narrowed_and_ends_after_so_many() {
    emit("--priority", "high");
    emit("--priority", "low");
    emit("--priority", "low");
    String type = subscription.type();
    assertThat(answer("events", "--type", type, "--priority", "low").lines()).hasSize(2);
    assertThat(answer("events", "--type", type, "--limit", "1").lines()).hasSize(1);
    assertThat(answer("events", "--type", type, "--since", "1h").lines()).hasSize(3);
    assertThat(answer("events", "--type", type, "--since", "2999-01-01T00:00:00Z")).isEmpty();
    assertThat(answer("events", "--type", type, "--source", "nobody")).isEmpty();
  }

  @Test
  void a_limit_shows_the_newest_in_order_and_since_some_time_the_first() {
    String first = emit();
    String second = emit();
    String third = emit();
    assertThat(ids("--limit", "2")).containsExactly(second, third);
    assertThat(ids("--limit", "9")).containsExactly(first, second, third);
    assertThat(ids("--limit", "2", "--since", "1h")).containsExactly(first, second);
    assertThat(ids("--limit", "2", "--source", "nobody")).isEmpty();
  }

  /** More than a page of them, over months, behind what does not match. */
  @Test
  void the_newest_are_found_over_pages_and_partitions() throws SQLException {
    subscription.run(
        """
        insert into cortex.events (type, source, received_at)
        select ?, case when n % 2 = 0 then 'even' else 'odd' end,
               date_trunc('month', clock_timestamp(), 'UTC')
                 + case when n > 1400 then interval '40 days' else interval '0' end
          from generate_series(1, 2800) n
        """,
        subscription.type());
    String newest =
        subscription.text(
            """
            select string_agg(event_id, ',' order by id)
              from (select event_id, id from cortex.event_log
                     where type = ? and source = 'even' order by id desc limit 1201) n
            """,
            subscription.type());
    assertThat(ids("--limit", "1201", "--source", "even")).containsExactly(newest.split(","));
  }

  private List<String> ids(String... options) {
    String[] question =
        Stream.concat(Stream.of("events", "--type", subscription.type()), Stream.of(options))
            .toArray(String[]::new);
    return answer(question).lines().map(QuestionsTest::id).toList();
  }

  private static String id(String envelope) {
    try {
      return JSON.readTree(envelope).get("event_id").textValue();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  @Test
  void the_log_is_followed_to_its_limit() {
    emit();
    String followed =
        answer("events", "--type", subscription.type(), "-f", "--since", "1h", "--limit", "1");
    assertThat(followed.lines()).hasSize(1);
  }

  @ParameterizedTest
  @ValueSource(strings = {"audit", "audit --json"})
  void an_audit_of_an_event_that_nobody_recorded_is_not_found(String question) {
    String[] command = (question + " evt_20200101_000000_1").split(" ");
    Answer answer = cortex.run(command);
    assertThat(answer.status()).isEqualTo(66);
    assertThat(answer.out()).isEmpty();
    assertThat(answer.err()).contains("no event has this id: evt_20200101_000000_1");
  }

  @ParameterizedTest
  @ValueSource(strings = {"--limit=0", "--limit=many", "--since=soon", "--no-such-option"})
  void a_question_that_makes_no_sense_is_a_wrong_call(String option) {
    assertThat(cortex.run("events", option).status()).isEqualTo(64);
  }

  @Test
  void what_caused_what_is_drawn_as_a_tree() throws Exception {
    String cause = emit();
    subscription.run(
        "select cortex.emit(?, 'test', '{}', causation_id => ?)", subscription.type(), cause);
    String drawn = answer("trace", cause);
    assertThat(drawn.lines().findFirst().orElseThrow()).contains(cause);
    assertThat(drawn).contains("└─ " + subscription.type()).contains(subscription.handler());
    JsonNode events = JSON.readTree(answer("trace", cause, "--json"));
    assertThat(events).hasSize(2);
    assertThat(events.get(1).get("causation_id").textValue()).isEqualTo(cause);
    assertThat(events.at("/0/deliveries/0/state").textValue()).isEqualTo("available");
  }

  @Test
  void a_trace_of_nothing_is_not_found() {
    Answer answer = cortex.run("trace", "evt_20200101_000000_1");
    assertThat(answer.status()).isEqualTo(66);
    assertThat(answer.out()).isEmpty();
    assertThat(answer.err()).contains("evt_20200101_000000_1");
  }

  @Test
  void attempts_are_audited() throws Exception {
    String id = emit();
    assertThat(answer("audit", id)).isEqualTo("no attempts: it waits\n");
    assertThat(JSON.readTree(answer("audit", id, "--json"))).isEmpty();
    subscription.kill("no use");
    assertThat(answer("audit", id)).contains("dead", "handler_failed", "no use");
    JsonNode attempt = JSON.readTree(answer("audit", id, "--json")).get(0);
    assertThat(attempt.get("handler").textValue()).isEqualTo(subscription.handler());
    assertThat(attempt.get("attempt").intValue()).isEqualTo(20);
    assertThat(attempt.get("outcome").textValue()).isEqualTo("dead");
  }

  @Test
  void an_audit_says_why_an_event_has_no_attempts() throws SQLException {
    subscription.run(
        "insert into cortex.events (event_id, type, source, log_only) values (?, ?, 'old', true)",
        "evt_20251201_000000_1" + subscription.handler().replaceAll("\\D", ""),
        subscription.type());
    assertThat(
            answer("audit", "evt_20251201_000000_1" + subscription.handler().replaceAll("\\D", "")))
        .startsWith("no attempts: it was recorded for the log only");
    subscription.run(
        "delete from cortex.subscriptions where handler_id ="
            + " (select handler_id from cortex.handlers where name = ?)",
        subscription.handler());
    assertThat(answer("audit", emit())).isEqualTo("no attempts: nobody subscribes to it\n");
  }

  @Test
  void dead_letters_are_listed_with_their_last_error() throws Exception {
    assertThat(answer("dead-letters", subscription.handler())).contains("no dead letters");
    String first = emit();
    String second = emit();
    subscription.kill("no use");
    assertThat(answer("dead-letters", subscription.handler())).contains(first, second, "no use");
    JsonNode letters =
        JSON.readTree(answer("dead-letters", subscription.handler(), "--json", "--limit", "1"));
    assertThat(letters).hasSize(1);
    assertThat(letters.at("/0/event_id").textValue()).isEqualTo(first);
    assertThat(letters.at("/0/attempts").intValue()).isEqualTo(20);
  }

  @Test
  void dead_letters_of_a_handler_that_nobody_knows_or_of_no_number_are_refused() {
    assertThat(cortex.run("dead-letters", "no-such-handler").status()).isEqualTo(66);
    assertThat(cortex.run("dead-letters", subscription.handler(), "--limit", "0").status())
        .isEqualTo(64);
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "blocked --limit 0",
        "backfills --limit 10001",
        "load-test --workers 0",
        "load-test --wait 0",
        "worker --grace -1",
        "worker --slots 0",
        "daemon start pm --wait 601"
      })
  void a_number_out_of_bounds_is_a_wrong_call(String question) {
    Answer answer = cortex.run(question.split(" "));
    assertThat(answer.status()).as(answer.err()).isEqualTo(64);
    assertThat(answer.err()).contains("must be");
  }

  @Test
  void escape_sequences_in_data_do_nothing_to_a_terminal() throws Exception {
    String id = cortex.run("emit", subscription.type(), "--source", EVIL).out().strip();
    subscription.kill(EVIL);
    assertInert(answer("trace", id));
    assertInert(answer("audit", id));
    assertInert(answer("dead-letters", subscription.handler()));
    assertInert(cortex.run("trace", EVIL).err());
    assertInert(cortex.run("emit", EVIL, "--source", "me").err());
    assertInert(cortex.run(EVIL).err());
  }

  private static void assertInert(String text) {
    assertThat(text)
        .contains("evil")
        .doesNotContain("\u001b")
        .doesNotContain("\u0007")
        .doesNotContain("\u202e");
  }

  private String emit(String... options) {
    String[] arguments = new String[options.length + 4];
    arguments[0] = "emit";
    arguments[1] = subscription.type();
    arguments[2] = "--source";
    arguments[3] = "me";
    System.arraycopy(options, 0, arguments, 4, options.length);
    return answer(arguments).strip();
  }

  private String answer(String... arguments) {
    Answer answer = cortex.run(arguments);
    assertThat(answer.status()).as(answer.err()).isZero();
    assertThat(answer.err()).isEmpty();
    return answer.out();
  }

  /** The row of a JSON answer that has these two members. */
  private JsonNode row(String name, String value, String name2, String value2, String question)
      throws IOException {
    JsonNode rows = JSON.readTree(answer(question, "--json"));
    return StreamSupport.stream(rows.spliterator(), false)
        .filter(row -> row.path(name).asText().equals(value))
        .filter(row -> row.path(name2).asText().equals(value2))
        .findFirst()
        .orElseThrow();
  }
}
