package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.cortex.events.cli.TestCommandLine.Answer;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.sql.SQLException;
import java.time.Duration;
import java.util.Arrays;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What the commands that change the queue do, and that each wants a reason. */
@ExtendWith(PostgresExtension.class)
class OperatorCommandsTest {
  private static final ObjectMapper JSON = new ObjectMapper();

  private final TestDatabase database;
  private TestCommandLine cortex;
  private TestSubscription subscription;
  private String handler = "";
  private String id = "";

  OperatorCommandsTest(TestDatabase database) {
    this.database = database;
  }

  @BeforeEach
  void an_event_that_waits() throws SQLException {
    cortex = TestCommandLine.on(database);
    subscription = TestSubscription.in(database);
    handler = subscription.handler();
    id = cortex.run("emit", subscription.type(), "--source", "me").out().strip();
  }

  @Test
  void retry_makes_a_dead_delivery_available() throws SQLException {
    subscription.kill("no use");
    assertThat(did("retry", id, handler)).isEqualTo("available");
    assertThat(subscription.states()).isEqualTo("available");
    assertReasonIsKept("retry");
  }

  @Test
  void what_was_done_is_said_as_json_too() throws SQLException {
    subscription.kill("no use");
    assertThat(did("retry", id, handler, "--json")).isEqualTo("{\"state\":\"available\"}");
    assertThat(did("pause", handler, "--json")).isEqualTo("{\"paused\":\"%s\"}".formatted(handler));
    assertThat(did("resume", handler, "--json"))
        .isEqualTo("{\"resumed\":\"%s\"}".formatted(handler));
    assertThat(did("pause", "--type", subscription.type(), "--json"))
        .isEqualTo(
            "{\"paused\":\"%s\",\"moved\":1,\"settled\":true}".formatted(subscription.type()));
    assertThat(did("resume", "--type", subscription.type(), "--json"))
        .isEqualTo(
            "{\"resumed\":\"%s\",\"moved\":1,\"settled\":true}".formatted(subscription.type()));
  }

  @Test
  void redrive_makes_the_dead_letters_of_a_handler_available() throws SQLException {
    cortex.run("emit", subscription.type(), "--source", "me");
    subscription.kill("no use");
    assertThat(did("redrive", handler, "--type", "task.failed")).isEqualTo("redriven 0");
    assertThat(did("redrive", handler, "--limit", "1")).isEqualTo("redriven 1");
    assertThat(subscription.states()).isEqualTo("available,dead");
    assertThat(did("redrive", handler, "--json")).isEqualTo("{\"redriven\":1}");
    assertThat(subscription.states()).isEqualTo("available");
  }

  @Test
  void cancel_ends_the_deliveries_of_an_event() throws Exception {
    JsonNode cancelled = JSON.readTree(did("cancel", id, "--json"));
    assertThat(cancelled.at("/0/handler").textValue()).isEqualTo(handler);
    assertThat(subscription.states()).isEmpty();
    assertThat(did("cancel", id)).startsWith("nothing to cancel");
    assertThat(cortex.run("audit", id).out()).contains("cancel").contains(handler);
    assertReasonIsKept("cancel");
  }

  @Test
  void cancel_can_end_the_delivery_to_one_handler_only() throws SQLException {
    assertThat(did("cancel", id, "--handler", handler)).contains(handler);
    assertThat(subscription.states()).isEmpty();
  }

  @Test
  void a_blocked_key_is_listed_and_released() throws SQLException {
    assertThat(cortex.run("blocked").out()).isEqualTo("no key is blocked\n");
    String key = subscription.block("k");
    assertThat(cortex.run("blocked").out()).contains(handler).contains(key).contains("dead");
    assertThat(did("release", handler, key)).startsWith("released from evt_");
    assertReasonIsKept("release");
    assertThat(cortex.run("blocked").out()).isEqualTo("no key is blocked\n");
  }

  @Test
  void a_back_fill_is_asked_for_listed_and_cancelled() throws Exception {
    assertThat(cortex.run("backfills").out()).isEqualTo("no back-fill yet\n");
    assertThat(did("backfill", handler, "--since", "2h", "--until", "1s", "--rate", "7"))
        .matches("back-fill \\d+ is the workers' now; .*");
    assertReasonIsKept("backfill");
    JsonNode listed = JSON.readTree(cortex.run("backfills", "--json").out());
    assertThat(listed.at("/0/handler").textValue()).isEqualTo(handler);
    assertThat(listed.at("/0/state").textValue()).isEqualTo("running");
    assertThat(listed.at("/0/rate").intValue()).isEqualTo(7);
    assertThat(did("backfill", handler, "--cancel")).startsWith("cancelled back-fill ");
    assertThat(cortex.run("backfills").out()).contains("cancelled");
    assertReasonIsKept("cancel_backfill");
  }

  @Test
  void a_handler_is_renamed() throws SQLException {
    assertThat(did("rename", handler, handler + "-new")).isEqualTo("renamed");
    assertThat(cortex.run("handlers").out()).contains(handler + "-new");
    assertReasonIsKept("rename");
  }

  @Test
  void a_handler_is_retired_and_taken_back() throws SQLException {
    assertThat(did("retire", handler, "--drain")).isEqualTo("retiring, the workers do the rest");
    assertThat(subscription.states()).isEqualTo("available");
    await()
        .atMost(Duration.ofSeconds(60))
        .until(
            () -> {
              Answer retired = cortex.run("retire", handler, "--discard", "--reason", "a test");
              return retired.out().startsWith("retired")
                  || retired.err().contains("must not be retired yet");
            });
    assertThat(subscription.states()).isEmpty();
    assertReasonIsKept("retire");
    assertThat(did("reinstate", handler)).isEqualTo("reinstated");
    assertReasonIsKept("reinstate");
  }

  @Test
  void an_operators_limit_goes_before_what_workers_declare_until_it_is_taken_back()
      throws Exception {
    declareLimit(5);
    assertThat(limit()).isEqualTo("5 declared");
    assertThat(did("limit", handler, "2")).isEqualTo("limited to 2");
    assertReasonIsKept("limit_handler");
    declareLimit(7);
    assertThat(limit()).isEqualTo("2 by an operator");
    assertThat(did("limit", handler, "none")).isEqualTo("not limited");
    declareLimit(8);
    assertThat(limit()).isEqualTo("null by an operator");
    assertThat(did("limit", handler, "declared")).isEqualTo("what its code declares counts");
    assertReasonIsKept("forget_limit");
    assertThat(limit()).isEqualTo("8 declared");
  }

  /** As a worker does that starts with the handler. */
  private void declareLimit(int running) throws SQLException {
    subscription.run(
        "select cortex.limit_running(handler_id, ?::smallint) from cortex.handlers where name = ?",
        running,
        handler);
  }

  private String limit() throws Exception {
    for (JsonNode listed : JSON.readTree(cortex.run("handlers", "--json").out())) {
      if (listed.at("/handler").textValue().equals(handler)) {
        return listed.at("/max_running").asText()
            + (listed.at("/limited_by_operator").booleanValue() ? " by an operator" : " declared");
      }
    }
    return "not listed";
  }

  @Test
  void who_chooses_an_implementation_is_told_that_it_takes_a_worker_that_has_it()
      throws SQLException {
    assertThat(did("implement", handler, "program"))
        .isEqualTo("will be run by a program, by workers that have one for it (--commands)");
    assertReasonIsKept("implement");
    assertThat(cortex.run("implement", handler, "java", "--reason", "back").err())
        .contains("none has Java code called " + handler);
    subscription.run(
        "insert into cortex.workers (name, version, handlers, stopped_at)"
            + " select 'its worker', 'test', array[handler_id], now() from cortex.handlers where name = ?",
        handler);
    assertThat(did("implement", handler, "java"))
        .isEqualTo("will be run by Java code, by workers that have it");
  }

  @Test
  void a_handler_is_paused_and_resumed() {
    assertThat(did("pause", handler)).isEqualTo("paused");
    assertThat(cortex.run("status").out()).containsPattern(handler + " .* yes");
    assertThat(did("resume", handler)).isEqualTo("resumed");
    assertThat(cortex.run("status").out()).containsPattern(handler + " .* no");
  }

  @Test
  void a_type_is_paused_and_resumed() throws SQLException {
    assertThat(did("pause", "--type", subscription.type()))
        .isEqualTo("paused, deliveries moved: 1");
    assertThat(subscription.states()).isEqualTo("held");
    assertThat(did("resume", "--type", subscription.type()))
        .isEqualTo("resumed, deliveries moved: 1");
    assertThat(subscription.states()).isEqualTo("available");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "retry ID HANDLER",
        "redrive HANDLER",
        "release HANDLER k",
        "cancel ID",
        "pause HANDLER",
        "resume HANDLER",
        "backfill HANDLER",
        "rename HANDLER other",
        "retire HANDLER --drain",
        "reinstate HANDLER",
        "implement HANDLER java",
        "limit HANDLER 2"
      })
  void a_reason_must_be_given_and_say_something(String command) throws SQLException {
    String[] call = call(command);
    Answer without = cortex.run(call);
    assertThat(without.status()).isEqualTo(64);
    assertThat(without.err()).contains("--reason");
    Answer empty = cortex.run(with(call, ""));
    assertThat(empty.status()).isEqualTo(64);
    assertThat(empty.err()).contains("--reason must have 1 to 1000 characters");
    assertThat(cortex.run(with(call, "x".repeat(1001))).status()).isEqualTo(64);
    assertThat(subscription.states()).isEqualTo("available");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "retry ID no-such-handler",
        "retry evt_20200101_000000_1 HANDLER",
        "redrive no-such-handler",
        "release no-such-handler k",
        "cancel evt_20200101_000000_1",
        "cancel ID --handler no-such-handler",
        "pause no-such-handler",
        "pause --type no.such",
        "resume no-such-handler",
        "resume --type no.such",
        "backfill no-such-handler",
        "backfill HANDLER --cancel",
        "replay --event-id evt_20200101_000000_1",
        "replay --event-id ID --handler no-such-handler",
        "rename no-such-handler other",
        "retire no-such-handler --discard",
        "limit no-such-handler 2",
        "limit no-such-handler declared",
        "implement no-such-handler java",
        "reinstate no-such-handler"
      })
  void what_is_named_must_be_there(String command) {
    Answer answer = cortex.run(with(call(command), "a test"));
    assertThat(answer.status()).as(answer.out() + answer.err()).isEqualTo(66);
    assertThat(answer.out()).isEmpty();
    assertThat(answer.err()).startsWith("cortex: action refused: ").doesNotContain("\tat ");
  }

  /** Which nothing in a database could make right. */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "redrive HANDLER --limit 0",
        "backfill HANDLER --rate 0",
        "backfill HANDLER --rate 10001",
        "backfill HANDLER --since soon",
        "backfill HANDLER --since 30d --until 60d",
        "backfill HANDLER --since 2999-01-01T00:00:00Z",
        "implement HANDLER perl",
        "limit HANDLER 0",
        "limit HANDLER 1025",
        "limit HANDLER few",
        "replay --event-id ID --priority urgent",
        "replay --event-id ID --wait 0",
        "replay --event-id ID --date 2025-12-01",
        "daemon stop no-such --reason="
      })
  void a_wrong_value_of_an_option_is_a_wrong_call(String command) {
    Answer answer = cortex.run(with(call(command), "a test"));
    assertThat(answer.status()).as(answer.err()).isEqualTo(64);
    assertThat(answer.out()).isEmpty();
    assertThat(answer.err()).containsPattern("must be|must have").contains("Try: cortex ");
  }

  @Test
  void a_range_that_ends_before_it_begins_is_told_as_it_was_typed() {
    String[] range = call("backfill HANDLER --since 30d --until 60d");
    assertThat(cortex.run(with(range, "a test")).err())
        .contains("--since must be before --until, were 30d and 60d");
  }

  @ParameterizedTest
  @ValueSource(strings = {"pause", "resume", "pause HANDLER --type task.failed"})
  void either_a_handler_or_a_type_is_paused(String command) {
    Answer answer = cortex.run(with(call(command), "a test"));
    assertThat(answer.status()).isEqualTo(64);
    assertThat(answer.err()).contains("either HANDLER or --type");
  }

  private String did(String... command) {
    Answer answer = cortex.run(with(command, "a test"));
    assertThat(answer.status()).as(answer.err()).isZero();
    return answer.out().strip();
  }

  private String[] call(String command) {
    return command.replace("ID", id).replace("HANDLER", handler).split(" ");
  }

  private static String[] with(String[] command, String reason) {
    String[] call = Arrays.copyOf(command, command.length + 1);
    call[command.length] = "--reason=" + reason;
    return call;
  }

  private void assertReasonIsKept(String action) throws SQLException {
    assertThat(
            subscription.text(
                "select reason || ' by ' || database_user from cortex.operator_actions"
                    + " where action = ? order by id desc limit 1",
                action))
        .isEqualTo("a test by cli");
  }
}
