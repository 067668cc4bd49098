package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.cortex.events.CortexEvents;
import dev.cortex.events.cli.TestCommandLine.Answer;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.handler.EventHandler;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.telemetry.Telemetry;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/** {@code cortex replay} and {@code cortex backfill}: what they say is what has happened. */
@ExtendWith(PostgresExtension.class)
class ReplayCommandTest {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final Duration PATIENCE = Duration.ofSeconds(60);

  private final TestDatabase database;
  private final Path directory;
  private TestCommandLine cortex;
  private TestSubscription subscription;
  private String id = "";

  ReplayCommandTest(TestDatabase database, @TempDir Path directory) {
    this.database = database;
    this.directory = directory;
  }

  @BeforeEach
  void an_event_that_was_handled() throws SQLException {
    cortex = TestCommandLine.on(database);
    subscription = TestSubscription.in(database);
    id = emit();
    subscription.run(
        """
        with done as (
          delete from cortex.deliveries
           where handler_id = (select handler_id from cortex.handlers where name = ?)
          returning *)
        insert into cortex.attempts (event, event_at, started_at, outcome, handler_id, generation, attempt)
        select event, event_at, now(), 'done', handler_id, generation, 1 from done
        """,
        subscription.handler());
  }

  private String emit(String... more) {
    return cortex
        .run(
            Stream.concat(Stream.of("emit", subscription.type(), "--source", "me"), Stream.of(more))
                .toArray(String[]::new))
        .out()
        .strip();
  }

  private Answer replay(String... arguments) {
    return cortex.run(
        Stream.concat(Stream.of("replay", "--reason", "a test"), Stream.of(arguments))
            .toArray(String[]::new));
  }

  private CortexEvents work(EventHandler handler) throws Exception {
    CortexEvents worker =
        CortexEvents.connect(database.address("cortex_worker")).withTelemetry(Telemetry.silent());
    worker.work(
        List.of(
            HandlerDefinition.oneByOne(subscription.handler(), handler).on(subscription.type())));
    return worker;
  }

  private String today() throws SQLException {
    return subscription.text("select (clock_timestamp() at time zone 'UTC')::date");
  }

  @Test
  void a_running_worker_handles_it_and_the_summary_says_so() throws Exception {
    try (CortexEvents worker = work((event, context) -> Outcome.done())) {
      Answer answer = replay("--event-id", id, "--verbose");
      assertThat(answer.status()).as(answer.err()).isZero();
      assertThat(answer.out())
          .contains(subscription.handler() + "  generation 1  completed")
          .contains("processed   1\n", "successful  1\n", "failed      0\n", "skipped     0\n");
      assertThat(replay("--event-id", id, "--verbose").out()).contains("generation 2  completed");
    }
    assertThat(
            subscription.text(
                "select string_agg(generation || ' ' || outcome, ',' order by generation)"
                    + " from cortex.audit_of(?)",
                id))
        .isEqualTo("0 done,1 done,2 done");
  }

  @Test
  void a_command_line_of_the_old_script_needs_no_reason_and_one_is_recorded() throws Exception {
    try (CortexEvents worker = work((event, context) -> Outcome.done())) {
      Answer answer = cortex.run("replay", "--event-id", id);
      assertThat(answer.status()).as(answer.err()).isZero();
    }
    assertThat(
            subscription.text(
                "select reason from cortex.operator_actions where action = 'replay' order by id desc limit 1"))
        .isEqualTo("cortex replay, no reason given");
    Answer empty = cortex.run("replay", "--event-id", id, "--reason", "");
    assertThat(empty.status()).isEqualTo(64);
    assertThat(empty.err()).contains("--reason must have 1 to 1000 characters");
  }

  @Test
  void of_a_large_day_no_more_is_replayed_while_as_much_as_it_follows_is_open() throws Exception {
    subscription.run(
        "insert into cortex.events (type, source, log_only) select ?, 'w', true from generate_series(1, 5500)",
        subscription.type());
    AtomicInteger portions = new AtomicInteger();
    try (CortexEvents worker =
        work(
            (event, context) -> {
              if (event.id().equals(id)) {
                await().atMost(PATIENCE).until(() -> portions() == 5);
                await().during(Duration.ofSeconds(1)).until(() -> portions() == 5);
                portions.set(portions());
              }
              return Outcome.done();
            })) {
      Answer answer = replay("--date", today(), "--type", subscription.type());
      assertThat(answer.out()).contains("successful  5501\n");
    }
    assertThat(portions).hasValue(5);
    assertThat(portions()).isEqualTo(6);
  }

  private int portions() throws SQLException {
    return Integer.parseInt(
        subscription.text(
            "select count(*) from cortex.operator_actions where action = 'replay' and subject ->> 'type' = ?",
            subscription.type()));
  }

  @Test
  void one_that_failed_makes_the_exit_status_1() throws Exception {
    String other = emit("--priority", "high");
    try (CortexEvents worker =
        work(
            (event, context) ->
                event.id().equals(other) ? Outcome.dead("no use") : Outcome.done())) {
      Answer answer = replay("--date", today(), "--type", subscription.type(), "--json");
      assertThat(answer.status()).isEqualTo(1);
      JsonNode summary = JSON.readTree(answer.out());
      assertThat(summary.at("/processed").intValue()).isEqualTo(2);
      assertThat(summary.at("/successful").intValue()).isEqualTo(1);
      assertThat(summary.at("/failed").intValue()).isEqualTo(1);
    }
  }

  @Test
  void one_that_is_being_retried_has_failed_when_the_wait_is_over() throws Exception {
    try (CortexEvents worker =
        work((event, context) -> Outcome.retryIn(Duration.ofHours(1), "later"))) {
      Answer answer = replay("--event-id", id, "--wait", "5", "--verbose");
      assertThat(answer.out()).contains("retrying (handler_retry)").contains("failed      1");
      assertThat(answer.status()).isEqualTo(1);
    }
  }

  @Test
  void when_nobody_works_it_says_that_nobody_has_handled_them() throws SQLException {
    Answer answer = replay("--event-id", id, "--wait", "1");
    assertThat(answer.status()).isEqualTo(75);
    assertThat(answer.out())
        .contains("successful  0\n", "failed      0\n")
        .contains("unfinished  1: queued, and no worker has handled them yet");
    assertThat(subscription.states()).isEqualTo("available");
  }

  @Test
  void queued_they_are_not_waited_for() throws SQLException {
    Answer answer = replay("--event-id", id, "--queue");
    assertThat(answer.status()).as(answer.err()).isZero();
    assertThat(answer.out()).isEqualTo("processed   1\nqueued      1\nskipped     0\n");
    assertThat(subscription.states()).isEqualTo("available");
    assertThat(
            subscription.text(
                "select reason from cortex.operator_actions where action = 'replay' order by id desc limit 1"))
        .isEqualTo("a test");
  }

  @Test
  void a_dry_run_changes_nothing_and_needs_no_reason() throws SQLException {
    Answer answer = cortex.run("replay", "--event-id", id, "--dry-run", "--verbose");
    assertThat(answer.status()).as(answer.err()).isZero();
    assertThat(answer.out())
        .contains(
            id + "  " + subscription.type() + "  " + subscription.handler() + "  generation 1\n")
        .endsWith(
            """
            dry run, nothing was replayed
            processed          1
            would be replayed  1
            skipped            0
            """);
    assertThat(subscription.states()).isEmpty();
  }

  @Test
  void of_a_day_a_handler_is_shown_only_what_it_gets() throws Exception {
    TestSubscription other = TestSubscription.in(database);
    cortex.run("emit", other.type(), "--source", "me");
    Answer answer =
        cortex.run(
            "replay",
            "--date",
            today(),
            "--handler",
            subscription.handler(),
            "--dry-run",
            "--verbose");
    assertThat(answer.out()).contains(id, "processed          1\n").doesNotContain(other.type());
  }

  @Test
  void a_mistyped_type_is_told_the_nearest_one() {
    Answer answer = replay("--date", "2025-12-01", "--type", "task.creatd");
    assertThat(answer.status()).isEqualTo(66);
    assertThat(answer.err()).contains("must be a known type", "did you mean \"task.created\"?");
    assertThat(replay("--date", "2020-01-01", "--type", "tasks.*").status()).isEqualTo(66);
    assertThat(replay("--date", "2020-01-01", "--type", "task.*").status()).isZero();
    assertThat(replay("--date", "2020-01-01", "--type", "*").status()).isZero();
  }

  @Test
  void an_event_that_no_handler_gets_is_skipped() throws SQLException {
    subscription.run(
        "delete from cortex.subscriptions where handler_id ="
            + " (select handler_id from cortex.handlers where name = ?)",
        subscription.handler());
    Answer answer = replay("--event-id", id, "--verbose");
    assertThat(answer.status()).isZero();
    assertThat(answer.out())
        .contains("skipped, no handler gets it")
        .contains("successful  0\n", "skipped     1\n");
  }

  @Test
  void the_filters_of_a_day_restrict_it() throws Exception {
    emit("--priority", "critical", "--correlation", "c-" + subscription.type());
    String day = today();
    String type = subscription.type();
    assertThat(processed("--date", day, "--type", type)).isEqualTo(2);
    assertThat(processed("--date", day, "--type", type, "--priority", "critical")).isEqualTo(1);
    assertThat(processed("--date", day, "--type", type, "--priority", "medium")).isEqualTo(1);
    assertThat(processed("--date", day, "--correlation", "c-" + type)).isEqualTo(1);
    assertThat(processed("--date", day, "--type", type, "--source", "nobody")).isZero();
    assertThat(processed("--date", "2020-01-01")).isZero();
  }

  private int processed(String... filters) throws Exception {
    Answer answer =
        cortex.run(
            Stream.concat(Stream.of("replay", "--dry-run", "--json"), Stream.of(filters))
                .toArray(String[]::new));
    assertThat(answer.status()).as(answer.err()).isZero();
    return JSON.readTree(answer.out()).at("/processed").intValue();
  }

  /** No worker runs: the command is one, for the handlers that it has. */
  @Test
  void it_works_the_handlers_of_its_own_while_it_waits() throws Exception {
    assertThat(cortex.start(directory.resolve("log"), "worker", "--drain").waitFor()).isZero();
    String heartbeat =
        cortex
            .run(
                "emit",
                "worker.heartbeat",
                "--source",
                "w-1",
                "--payload",
                "{\"worker_id\": \"w-1\"}")
            .out()
            .strip();
    Answer answer = replay("--event-id", heartbeat, "--handler", "worker-health", "--verbose");
    assertThat(answer.out()).contains("worker-health  generation 1  completed");
    assertThat(answer.status()).as(answer.err()).isZero();
  }

  @Test
  void what_is_chosen_to_run_a_handler_runs_it_in_a_replay_too(@TempDir Path parent)
      throws Exception {
    assertThat(cortex.run("worker", "--drain").status()).isZero();
    String pattern =
        cortex
            .run(
                "emit",
                "learning.pattern_detected",
                "--source",
                "me",
                "--payload",
                "{\"task_type\": \"build\", \"master\": \"m\", \"successes\": 1}")
            .out()
            .strip();
    assertThat(cortex.run("worker", "--drain").status()).isZero();
    Path programs = Files.createDirectory(parent.toRealPath().resolve("programs"));
    Path seen = programs.resolveSibling("seen");
    Path program =
        Files.writeString(
            programs.resolve("learned-patterns"), "#!/bin/sh\necho ran >> " + seen + "\n");
    Files.setPosixFilePermissions(program, PosixFilePermissions.fromString("rwxr-xr-x"));
    Files.writeString(programs.resolve("learned-patterns.properties"), "on = learning.*\n");
    String[] again = {
      "--event-id", pattern, "--handler", "learned-patterns", "--commands", programs.toString()
    };

    assertThat(replay(again).out()).contains("successful  1");
    assertThat(seen).doesNotExist();
    implement("program");
    assertThat(replay(again).out()).contains("successful  1");
    assertThat(seen).hasContent("ran");
    Answer without = replay("--event-id", pattern, "--handler", "learned-patterns", "--wait", "1");
    assertThat(without.out()).as("left to a worker that has the program").contains("unfinished  1");
    implement("java");
    assertThat(replay(again).out()).contains("successful  1");
    assertThat(seen).hasContent("ran");
  }

  private void implement(String implementation) {
    Answer answer =
        cortex.run("implement", "learned-patterns", implementation, "--reason", "a test");
    assertThat(answer.status()).as(answer.err()).isZero();
  }

  @Test
  void a_call_that_says_neither_or_both_is_not_understood() {
    assertThat(replay().status()).isEqualTo(64);
    Answer both = replay("--event-id", id, "--date", "2025-12-01");
    assertThat(both.status()).isEqualTo(64);
    assertThat(both.err()).contains("and not both");
    assertThat(replay("--date", "yesterday").err()).contains("--date must be a day such as");
    assertThat(replay("--event-id", id, "--priority", "urgent").status()).isEqualTo(64);
  }

  /** Killed with the rows of its step locked or not: the next worker goes on where it was. */
  @Test
  void a_back_fill_survives_the_kill_of_the_worker_that_carries_it_out() throws Exception {
    subscription.run(
        "delete from cortex.subscriptions where handler_id ="
            + " (select handler_id from cortex.handlers where name = ?)",
        subscription.handler());
    subscription.run(
        "insert into cortex.events (type, source) select ?, 'test' from generate_series(1, 3000)",
        subscription.type());
    subscription.run(
        "insert into cortex.subscriptions (handler_id, pattern)"
            + " select handler_id, ? from cortex.handlers where name = ?",
        subscription.type(),
        subscription.handler());
    assertThat(
            cortex
                .run("backfill", subscription.handler(), "--rate", "500", "--reason", "a test")
                .status())
        .isZero();
    Process first = cortex.start(directory.resolve("first"), "worker");
    await().atMost(PATIENCE).until(() -> made() > 100);
    first.destroyForcibly().waitFor();
    assertThat(made()).isLessThan(3_000);

    Process second = cortex.start(directory.resolve("second"), "worker");
    try {
      await().atMost(PATIENCE).until(() -> state().equals("finished"));
    } finally {
      second.destroyForcibly().waitFor();
    }
    assertThat(made()).isEqualTo(3_000);
    assertThat(
            subscription.text(
                """
                select count(*) || ' ' || count(distinct d.event)
                  from cortex.deliveries d
                  join cortex.handlers h using (handler_id)
                 where h.name = ?
                """,
                subscription.handler()))
        .isEqualTo("3000 3000");
  }

  private long made() throws SQLException {
    return Long.parseLong(
        subscription.text(
            "select made from cortex.backfill_status where handler = ?", subscription.handler()));
  }

  private String state() throws SQLException {
    return subscription.text(
        "select state from cortex.backfill_status where handler = ?", subscription.handler());
  }
}
