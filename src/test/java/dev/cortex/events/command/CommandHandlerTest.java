package dev.cortex.events.command;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.DatabaseAddress;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.Envelope;
import dev.cortex.events.event.Json;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.RetryPolicy;
import dev.cortex.events.telemetry.Telemetry;
import dev.cortex.events.worker.Worker;
import dev.cortex.events.worker.WorkerOptions;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.postgresql.ds.PGSimpleDataSource;

/** Real programs, run by a real worker. */
@ExtendWith(PostgresExtension.class)
class CommandHandlerTest {
  private static final Duration PATIENCE = Duration.ofSeconds(60);
  private static final AtomicInteger HANDLERS = new AtomicInteger();

  private final TestDatabase database;
  private final Path directory;
  private final String handler = "program-" + HANDLERS.incrementAndGet();
  private final String type = "test.program" + HANDLERS.get();
  private final CortexEvents cortex;

  CommandHandlerTest(TestDatabase database, @TempDir Path directory) throws IOException {
    this.database = database;
    this.directory = directory.toRealPath();
    this.cortex =
        CortexEvents.connect(database.address("cortex_worker")).withTelemetry(Telemetry.silent());
  }

  @BeforeEach
  void types() throws SQLException {
    text(
        "insert into cortex.event_types (type) values (?), (?) returning type",
        type,
        type + ".next");
  }

  @AfterEach
  void close() {
    cortex.close();
  }

  @Test
  void it_gets_the_envelope_as_a_file_and_on_its_input_and_nothing_else_of_ours() throws Exception {
    work(
        """
        cat "$1" > "%1$s/file"
        cat > "%1$s/input"
        env > "%1$s/environment"
        echo "$#" > "%1$s/arguments"
        """);
    String id = emit("{\"n\": 1}");
    awaitAttempt("done 1");
    String envelope = read("file");
    assertThat(envelope).isEqualTo(read("input"));
    assertThat(envelope).contains("\"event_id\":\"" + id + "\"").contains("\"n\":");
    assertThat(read("arguments")).isEqualTo("1\n");
    assertThat(read("environment").lines().map(line -> line.substring(0, line.indexOf('='))))
        .isSubsetOf(
            "PATH",
            "CORTEX_EVENT_ID",
            "CORTEX_HANDLER",
            "CORTEX_FENCE",
            "CORTEX_ATTEMPT",
            "CORTEX_GENERATION",
            "CORTEX_IDEMPOTENCY_KEY",
            "PWD",
            "SHLVL",
            "_",
            "OLDPWD");
    assertThat(read("environment"))
        .contains("CORTEX_EVENT_ID=" + id)
        .contains("CORTEX_HANDLER=" + handler)
        .contains("CORTEX_FENCE=1\n")
        .contains("CORTEX_ATTEMPT=1\n");
  }

  @Test
  void it_gets_fields_beside_those_of_an_event_as_they_were_emitted() throws Exception {
    work("cat \"$1\" > \"%1$s/file\"");
    text(
        "select cortex.emit(?, 'w', extensions => '{\"version\": 2, \"host\": {\"name\": \"h\"}}')",
        type);
    awaitAttempt("done 1");
    assertThat(Envelope.readArchived(read("file")).extensions())
        .contains(Json.parse("extensions", "{\"version\": 2, \"host\": {\"name\": \"h\"}}"));
  }

  @Test
  void it_gets_the_variables_that_it_was_allowed_and_cannot_be_told_another_lease()
      throws Exception {
    Path program = program("echo \"$GIVEN $CORTEX_FENCE ${KEPT-none}\" > \"%1$s/said\"");
    start(
        CommandHandler.of(program)
            .from(Map.of("GIVEN", "given", "KEPT", "kept", "CORTEX_FENCE", "99"))
            .withEnvironment(Set.of("GIVEN", "CORTEX_FENCE", "ABSENT")),
        definition -> definition);
    emit("{}");
    awaitAttempt("done 1");
    assertThat(read("said")).isEqualTo("given 1 none\n");
  }

  @Test
  void it_finds_the_spool_that_the_worker_drains() throws Exception {
    Path program = program("echo \"$CORTEX_SPOOL_DIR\" > \"%1$s/said\"");
    start(
        CommandHandler.of(program)
            .from(Map.of("CORTEX_SPOOL_DIR", "/somewhere/else"))
            .withEnvironment(Set.of("CORTEX_SPOOL_DIR"))
            .withSpool(Path.of("/var/lib/cortex/spool")),
        definition -> definition);
    emit("{}");
    awaitAttempt("done 1");
    assertThat(read("said")).isEqualTo("/var/lib/cortex/spool\n");
  }

  @Test
  void its_exit_status_says_what_becomes_of_the_delivery() throws Exception {
    work(
        """
        case $CORTEX_ATTEMPT in
          1) echo "not now"; exit 75;;
          2) echo "broken" >&2; exit 3;;
          3) kill -9 $$;;
          4) echo "never"; exit 65;;
        esac
        """);
    emit("{}");
    awaitAttempt("dead 4");
    assertThat(attempts())
        .containsExactly(
            "retry 1 handler_retry not now",
            "retry 2 handler_retry exit status 3 broken",
            "retry 3 handler_retry exit status 137",
            "dead 4 handler_dead exit status 65 never");
  }

  @Test
  void a_program_that_cannot_be_started_is_charged() throws Exception {
    Path program = program("exit 0");
    start(CommandHandler.of(program), definition -> definition.withRetry(quick(2)));
    Files.delete(program);
    emit("{}");
    awaitAttempt("dead 2");
  }

  @Test
  void no_shell_sees_what_is_in_the_event() throws Exception {
    String pwned = directory.resolve("pwned").toString();
    String hostile =
        "{\"x\": \"$(touch %1$s) `touch %1$s`; touch %1$s | touch %1$s && \\u0027 \\\" \\n touch %1$s\"}"
            .formatted(pwned);
    work("cp \"$1\" \"%1$s/seen\"");
    emit(hostile);
    awaitAttempt("done 1");
    assertThat(Path.of(pwned)).doesNotExist();
    assertThat(read("seen")).contains("$(touch " + pwned + ")");
  }

  @Test
  void an_input_larger_than_a_pipe_holds_blocks_nobody_when_it_is_not_read() throws Exception {
    work("exit 0");
    emit("{\"x\": \"" + "a".repeat(200_000) + "\"}");
    awaitAttempt("done 1");
  }

  @Test
  void the_end_of_a_long_output_is_kept_behind_the_exit_status() throws Exception {
    work("head -c 100000 /dev/zero | tr '\\0' a; echo the end; exit 65");
    emit("{}");
    awaitAttempt("dead 1");
    assertThat(text("select error from cortex.attempts where " + mine()))
        .startsWith("exit status 65\na")
        .endsWith("a" + "the end");
  }

  @Test
  void output_that_is_no_text_is_kept_as_far_as_it_is_some() throws Exception {
    work("echo; head -c 100000 /dev/urandom; printf '\\0\\377 end'; exit 65");
    emit("{}");
    awaitAttempt("dead 1");
    String error = text("select error from cortex.attempts where " + mine());
    assertThat(error).hasSizeLessThanOrEqualTo(8_000).endsWith("end");
  }

  @Test
  void output_without_end_fills_no_disk_and_no_memory() throws Exception {
    work(
        "echo $PWD > \"%1$s/directory\"; exec yes",
        definition -> definition.withTimeBudget(Duration.ofSeconds(1)).withRetry(quick(1)));
    emit("{}");
    awaitAttempt("dead 1");
    assertThat(attempts().get(0)).startsWith("dead 1 time_budget");
    assertThat(Path.of(read("directory").strip())).doesNotExist();
  }

  @Test
  void what_it_does_to_its_own_directory_changes_nothing_of_how_it_has_ended() throws Exception {
    work("mkdir -p shut/in && chmod 0 shut && rm -rf ./* 2> /dev/null; sleep 0.1; exit 0");
    emit("{}");
    awaitAttempt("done 1");
    assertThat(attempts()).hasSize(1);
  }

  @Test
  void past_its_time_it_ends_with_all_that_it_has_started() throws Exception {
    work(
        """
        sleep 1000 & echo $! >> "%1$s/pids"
        sh -c 'sleep 1000 & echo $!' >> "%1$s/pids"
        sh -c "trap '' TERM; echo \\$\\$ >> '%1$s/pids'; while :; do sleep 1; done" &
        while [ "$(wc -l < "%1$s/pids")" -lt 3 ]; do sleep 0.05; done
        trap 'echo asked > "%1$s/asked"' TERM
        while :; do sleep 1; done
        """,
        definition -> definition.withTimeBudget(Duration.ofSeconds(2)).withRetry(quick(1)));
    emit("{}");
    awaitAttempt("dead 1");
    assertThat(attempts().get(0)).startsWith("dead 1 time_budget");
    assertThat(read("asked")).isEqualTo("asked\n");
    List<Long> pids = read("pids").lines().map(Long::valueOf).toList();
    assertThat(pids).hasSize(3);
    await().atMost(PATIENCE).until(() -> pids.stream().noneMatch(CommandHandlerTest::runs));
  }

  @Test
  void what_it_leaves_behind_when_it_ends_keeps_nobody_waiting_and_ends_too() throws Exception {
    work("sleep 1000 & echo $! > \"%1$s/pids\"; exit 0");
    emit("{}");
    awaitAttempt("done 1");
    assertThat(runs(Long.parseLong(read("pids").strip()))).isFalse();
  }

  @Test
  void a_worker_that_stops_ends_it_and_gives_the_delivery_back_uncharged() throws Exception {
    Worker worker = work("echo $$ > \"%1$s/pids\"; sleep 1000");
    emit("{}");
    await().atMost(PATIENCE).until(() -> Files.exists(directory.resolve("pids")));
    worker.close();
    assertThat(attempts()).isEmpty();
    assertThat(
            text(
                "select count(*) from cortex.deliveries where attempt = 0 and leased_by is null and "
                    + mine()))
        .isEqualTo("1");
    assertThat(runs(Long.parseLong(read("pids").strip()))).isFalse();
  }

  @Test
  void a_cancelled_delivery_ends_its_program() throws Exception {
    work("echo $$ > \"%1$s/pids\"; sleep 1000");
    String id = emit("{}");
    await().atMost(PATIENCE).until(() -> Files.exists(directory.resolve("pids")));
    text("select state from cortex.cancel(?, 'a test')", id);
    await().atMost(PATIENCE).until(() -> !runs(Long.parseLong(read("pids").strip())));
    assertThat(attempts()).containsExactly("cancel 0 cancelled a test");
  }

  @Test
  void what_it_emits_on_the_command_line_carries_the_event_as_its_cause() throws Exception {
    Path program =
        program(
            "exec '%s/bin/java' -cp '%s' dev.cortex.events.cli.Main emit %s.next --source program"
                .formatted(
                    System.getProperty("java.home"), System.getProperty("java.class.path"), type));
    start(
        CommandHandler.of(program)
            .from(Map.of("DATABASE_URL", url(database.address("cortex_emitter"))))
            .withEnvironment(Set.of("DATABASE_URL")),
        definition -> definition);
    String id = emit("{}");
    awaitAttempt("done 1");
    assertThat(
            text(
                "select concat_ws(' ', causation_id, causation_depth, correlation_id) from cortex.event_log where type = ?",
                type + ".next"))
        .isEqualTo(id + " 1 " + id);
  }

  private static String url(DatabaseAddress address) throws SQLException {
    PGSimpleDataSource source = address.dataSource().unwrap(PGSimpleDataSource.class);
    return address.jdbcUrl() + "?user=" + source.getUser() + "&password=" + source.getPassword();
  }

  private static boolean runs(long pid) {
    try {
      String stat = Files.readString(Path.of("/proc/" + pid + "/stat"));
      return !stat.substring(stat.lastIndexOf(')')).startsWith(") Z");
    } catch (IOException e) {
      return false;
    }
  }

  private Worker work(String script) throws Exception {
    return work(script, definition -> definition);
  }

  private Worker work(String script, UnaryOperator<HandlerDefinition> with) throws Exception {
    return start(CommandHandler.of(program(script)), with);
  }

  private Worker start(CommandHandler command, UnaryOperator<HandlerDefinition> with)
      throws Exception {
    HandlerDefinition definition =
        HandlerDefinition.leased(handler, command)
            .on(type)
            .withLease(Duration.ofSeconds(30))
            .withRetry(quick(4));
    return cortex.work(
        List.of(with.apply(definition)),
        WorkerOptions.defaults().withLeases(1).withGracePeriod(Duration.ofMillis(1)));
  }

  private static RetryPolicy quick(int attempts) {
    return RetryPolicy.defaults()
        .withMaxAttempts(attempts)
        .withDelays(Duration.ofMillis(1), Duration.ofMillis(5));
  }

  /** A script, in which {@code %1$s} stands for the test's directory. */
  private Path program(String script) throws IOException {
    Path program = directory.resolve(handler);
    Files.writeString(program, "#!/bin/sh\n" + script.replace("%1$s", directory.toString()) + "\n");
    assertThat(program.toFile().setExecutable(true, true)).isTrue();
    return program;
  }

  private String read(String file) throws IOException {
    return Files.readString(directory.resolve(file));
  }

  private String emit(String payload) throws SQLException {
    return text("select cortex.emit(?, 'test', ?::jsonb)", type, payload);
  }

  private String mine() {
    return "handler_id = (select handler_id from cortex.handlers where name = '" + handler + "')";
  }

  private void awaitAttempt(String outcomeAndNumber) {
    await()
        .atMost(PATIENCE)
        .untilAsserted(
            () ->
                assertThat(attempts())
                    .anyMatch(attempt -> (attempt + " ").startsWith(outcomeAndNumber + " ")));
  }

  private List<String> attempts() throws SQLException {
    String lines =
        text(
            """
            select coalesce(string_agg(translate(
                     concat_ws(' ', outcome, attempt, reason, error), E'\\n', ' '), E'\\n' order by attempt), '')
              from cortex.attempts where
            """
                + mine());
    return Stream.of(lines.split("\n")).map(String::strip).filter(line -> !line.isEmpty()).toList();
  }

  private String text(String sql, String... arguments) throws SQLException {
    try (Connection connection = database.connection();
        PreparedStatement statement = connection.prepareStatement(sql)) {
      for (int i = 0; i < arguments.length; i++) {
        statement.setString(i + 1, arguments[i]);
      }
      try (ResultSet row = statement.executeQuery()) {
        row.next();
        return String.valueOf(row.getString(1));
      }
    }
  }
}
