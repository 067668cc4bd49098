package dev.cortex.events.shell;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.assertj.core.api.Assertions.catchThrowableOfType;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.cortex.events.database.DatabaseAddress;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.Defect;
import dev.cortex.events.event.Envelope;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.InvalidEventException;
import dev.cortex.events.spool.DrainSummary;
import dev.cortex.events.spool.Spool;
import java.io.IOException;
import java.net.InetAddress;
import java.net.ServerSocket;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;
import org.postgresql.ds.PGSimpleDataSource;

/** Scripts in the old style, run by a real bash with real programs. */
@ExtendWith(PostgresExtension.class)
class ShellLoggerTest {
  private static final Path LOGGER =
      Path.of(System.getProperty("project.basedir", "."), "ops/shell/event-logger.sh")
          .toAbsolutePath()
          .normalize();
  private static final String ENVELOPE =
      "{\"event_id\":\"evt_20251201_165420_3dc39e75a77d\",\"event_type\":\"task.failed\","
          + "\"timestamp\":\"2025-12-01T22:54:20+0000\",\"source\":\"w-1\"}";

  /** What a shell, psql, SQL or a file of lines could stumble over. */
  private static final String[] HOSTILE = {
    "it's",
    "\\\\' || pg_sleep(1) || '",
    "'; drop table cortex.events; --",
    "$(touch canary) `touch canary` ${HOME}",
    ":x :'x' :\\\"x\\\" %s %d %n",
    "\\\\! touch canary",
    "\\n\\\\.\\n",
    "CAUSE HELD E::jsonb E'x' & \\\\1",
    "é 😀 \uFFFD \u2028",
    "a\\\"b\\\\",
  };

  private final TestDatabase database;
  private final Map<String, String> environment = new TreeMap<>();
  private Path directory;

  ShellLoggerTest(TestDatabase database) {
    this.database = database;
  }

  private record Answer(int status, String out, String err) {}

  @BeforeEach
  void empty(@TempDir Path parent) throws SQLException {
    for (String program : List.of("bash", "jq", "psql", "sync", "timeout")) {
      assumeTrue(isInstalled(program), program + " is not installed");
    }
    directory = parent;
    environment.put("PATH", System.getenv("PATH"));
    environment.put("HOME", parent.toString());
    environment.put("DATABASE_URL", url(database.address("cortex_emitter")));
    environment.put("LOGGER", LOGGER.toString());
    execute(
        "insert into cortex.event_types (type) values ('task.failed') on conflict do nothing",
        "delete from cortex.events",
        "delete from cortex.dedupe_keys");
  }

  @Test
  void an_event_is_created_on_one_line_and_emitted_on_the_next() throws Exception {
    Answer answer =
        script(
            """
            set -euo pipefail
            EVENT_JSON=$("$LOGGER" --create "task.failed" "worker-7" '{"task_id": "t-1"}' "c-1" "high")
            echo "$EVENT_JSON" | jq -r .event_id
            echo "$EVENT_JSON" | "$LOGGER"
            """);
    assertThat(answer.err()).isEmpty();
    String id = answer.out().lines().findFirst().orElseThrow();
    assertThat(id).matches("evt_[0-9]{8}_[0-9]{6}_[a-z0-9]+");
    assertThat(answer.out())
        .isEqualTo(
            "%1$s\nEvent validation passed\nEvent logged: %1$s -> cortex.events\n".formatted(id));
    assertThat(
            strings(
                "select concat_ws(' ', event_id, type, source, priority, correlation_id, payload ->> 'task_id') from cortex.events"))
        .containsExactly(id + " task.failed worker-7 high c-1 t-1");
  }

  @ParameterizedTest
  @ValueSource(strings = {"set -euo pipefail", "set -f; set -o noclobber; IFS=:", ":"})
  void a_script_that_sources_it_runs_on_with_its_own_options(String options) throws Exception {
    Answer answer =
        script(
            options
                + """

                before=$(set -o; shopt)
                source "$LOGGER"
                event=$(create_event task.failed worker-7 '{"n": 1}')
                validate_event "$event" >/dev/null
                log_event "$event" >/dev/null
                create_and_log_event task.failed worker-7 '{"n": 2}' "" low >/dev/null
                [[ $(generate_event_id) != $(generate_event_id) ]]
                if log_event '{"event_id": "x"}' 2>/dev/null; then echo wrong; else echo "refused $?"; fi
                [[ $(set -o; shopt) == "$before" ]] && echo same
                """);
    assertThat(answer.err()).isEmpty();
    assertThat(answer.out()).isEqualTo("refused 1\nsame\n");
    assertThat(strings("select payload ->> 'n' from cortex.events order by 1"))
        .containsExactly("1", "2");
  }

  @Test
  void the_validator_says_which_field_is_wrong() throws Exception {
    Map<String, String> wrong =
        Map.of(
            "{",
            "ERROR: Invalid JSON",
            "[]",
            "ERROR: Invalid event: must be a JSON object",
            ENVELOPE.replace("source", "sauce"),
            "ERROR: Missing required field: source",
            ENVELOPE.replace("evt_", "id_"),
            "ERROR: Invalid event_id format: id_20251201_165420_3dc39e75a77d",
            ENVELOPE.replace("12-01T", "02-30T"),
            "ERROR: Invalid timestamp format: 2025-02-30T22:54:20+0000",
            ENVELOPE.replace("task.failed", "Task"),
            "ERROR: Invalid event_type: Task",
            with("\"payload\":[]"),
            "ERROR: Invalid payload: must be a JSON object",
            with("\"metadata\":{\"priority\":\"urgent\"}"),
            "ERROR: Invalid priority: urgent");
    for (Map.Entry<String, String> each : wrong.entrySet()) {
      environment.put("EVENT", each.getKey());
      Answer answer = script("\"${LOGGER/logger/validator}\" \"$EVENT\"");
      assertThat(answer).isEqualTo(new Answer(1, "", each.getValue() + "\n"));
    }
    environment.put("EVENT", ENVELOPE);
    assertThat(script("\"${LOGGER/logger/validator}\" \"$EVENT\""))
        .isEqualTo(new Answer(0, "Event validation passed\n", ""));
  }

  /** As the old logger did; the import does, too. */
  @Test
  void a_field_that_events_do_not_have_is_kept_in_the_database_and_through_the_spool()
      throws Exception {
    String there = String.valueOf(environment.get("DATABASE_URL"));
    for (String url : List.of(there, "postgresql://u@127.0.0.1:1/db")) {
      environment.put("DATABASE_URL", url);
      environment.put(
          "EVENT",
          with("\"version\":2,\"priority\":\"high\",\"host\":{\"name\":\"it's\"}")
              .replace("_3d", url.equals(there) ? "_there" : "_away"));
      Answer answer = script("\"${LOGGER/logger/validator}\" \"$EVENT\" && \"$LOGGER\" \"$EVENT\"");
      assertThat(answer.status()).as(answer.err()).isZero();
    }
    assertThat(drain()).isEqualTo(new DrainSummary(1, 0, 0, 0));
    assertThat(strings("select extensions::text from cortex.events"))
        .hasSize(2)
        .containsOnly("{\"host\": {\"name\": \"it's\"}, \"version\": 2, \"priority\": \"high\"}");
  }

  @Test
  void what_the_database_refuses_is_an_error_and_is_not_spooled() throws Exception {
    Answer answer = script("\"$LOGGER\" \"$(\"$LOGGER\" --create task.faild w '{}')\"");
    assertThat(answer.status()).isEqualTo(1);
    assertThat(answer.err())
        .contains("ERROR: Event refused: ")
        .contains("did you mean \"task.failed\"");
    assertThat(spool().isEmpty()).isTrue();
  }

  /** PostgreSQL says what it warns of before the error, and neither is in a language of ours. */
  @Test
  void a_warning_hides_neither_a_refusal_nor_a_lost_connection() throws Exception {
    execute(
        """
        create or replace function public.warn() returns trigger language plpgsql security definer as $$
        begin
          raise warning E'careful\nfalse 00000' using errcode = '57P01';
          if current_setting('application_name') = 'lost' then
            perform pg_terminate_backend(pg_backend_pid());
          elsif current_setting('application_name') = 'refused' then
            raise exception E'no such thing\nfalse 00000' using errcode = '23514', detail = 'hidden';
          end if;
          return null;
        end
        $$
        """,
        "create trigger a_warning before insert on cortex.events execute function public.warn()");
    try {
      environment.put("EVENT", ENVELOPE);
      environment.put("PGAPPNAME", "refused");
      Answer refused = script("\"$LOGGER\" \"$EVENT\"");
      assertThat(refused)
          .isEqualTo(
              new Answer(1, "Event validation passed\n", "ERROR: Event refused: no such thing\n"));
      assertThat(spool().isEmpty()).isTrue();

      environment.put("PGAPPNAME", "taken");
      assertThat(script("\"$LOGGER\" \"$EVENT\"").out())
          .endsWith("Event logged: evt_20251201_165420_3dc39e75a77d -> cortex.events\n");

      environment.put("PGAPPNAME", "lost");
      Answer lost = script("\"$LOGGER\" \"$(\"$LOGGER\" --create task.failed w '{}')\"");
      assertThat(lost.status()).as(lost.err()).isZero();
      assertThat(lost.err()).contains("spooled, to be delivered later");
    } finally {
      execute("drop trigger a_warning on cortex.events", "drop function public.warn()");
    }
    assertThat(drain()).isEqualTo(new DrainSummary(1, 0, 0, 0));
  }

  @Test
  void a_database_that_keeps_an_event_waiting_is_busy_and_asked_again_by_the_next_call()
      throws Exception {
    environment.put("EVENT", ENVELOPE);
    try (Connection other = database.address("cortex_emitter").dataSource().getConnection()) {
      other.setAutoCommit(false);
      try (Statement statement = other.createStatement()) {
        statement.execute(
            "select cortex.emit('task.failed', 'w-1', event_id => 'evt_20251201_165420_3dc39e75a77d', occurred_at => '2025-12-01T22:54:20Z')");
      }
      Answer answer =
          script(
              """
              source "$LOGGER"
              log_event "$EVENT"
              create_and_log_event task.failed w-2 '{}'
              """);
      assertThat(answer.status()).as(answer.err()).isZero();
      assertThat(answer.err())
          .containsOnlyOnce("spooled")
          .contains("the database is busy")
          .contains("lock timeout");
      assertThat(answer.out()).endsWith(" -> cortex.events\n");
      other.rollback();
    }
    assertThat(drain()).isEqualTo(new DrainSummary(1, 0, 0, 0));
    assertThat(strings("select source from cortex.events order by id"))
        .containsExactly("w-2", "w-1");
  }

  @Test
  void a_server_that_takes_the_connection_and_never_answers_holds_no_call_up_for_ever()
      throws Exception {
    try (ServerSocket silent = new ServerSocket(0, 10, InetAddress.getLoopbackAddress())) {
      environment.put("DATABASE_URL", "postgresql://u@127.0.0.1:" + silent.getLocalPort() + "/db");
      environment.put("PGCONNECT_TIMEOUT", "600");
      environment.put("EVENT", ENVELOPE);
      Answer answer = script("\"$LOGGER\" \"$EVENT\"");
      assertThat(answer.status()).as(answer.err()).isZero();
      assertThat(answer.err()).contains("did not answer within 15 s").contains("spooled");
    }
    assertThat(drain()).isEqualTo(new DrainSummary(1, 0, 0, 0));
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "\"payload\":{\"n\":NaN}",
        "\"payload\":{\"n\":nan}",
        "\"payload\":{\"n\":-Infinity}",
        "\"payload\":{\"n\":01}",
        "\"payload\":{\"n\":+1}",
        "\"payload\":{\"n\":.5}",
        "\"payload\":{\"n\":1.}",
        "\"payload\":{\"n\":tru}",
        "\"payload\":{\"n\":1e200000}",
        "\"payload\":{\"n\":1e1000}",
        "\"payload\":{\"n\":1e99999999999}",
        "\"payload\":{\"n\":0e99999999999}",
        "\"metadata\":{\"n\":1e-2000}",
        "\"payload\":{\"n\":\"\\u0000\"}",
        "\"payload\":{\"n\\u0000\":1}",
        "\"payload\":{\"n\":\"\\\\\\u0000\"}",
        "\"key\":\"\\u0000\"",
        "\"payload\":{\"n\":\"\\ud800\"}",
        "\"payload\":{\"n\":\"\\ude00\\ud83d\"}",
        "\"payload\":{\"n\":1,\"n\":2}",
        "\"payload\":{\"n\":[{\"c\":1,\"c\":{}}]}",
        "\"metadata\":{\"n\":{\"c\":1,\"c\":{}}}",
        "\"source\":\"twice\"",
        "\"payload\":{\"n\":\"a\tb\"}",
        "\"payload\":{\"n\":\"a\nb\"}",
        "\"payload\":{\"n\" \"a\"}",
        "\"payload\":{\"n\":[1,]}",
        "\"run_at\":\"2025-12-01T22:54:20+18:30\"",
      })
  void what_java_refuses_is_refused_and_never_spooled(String member) throws Exception {
    environment.put("DATABASE_URL", "postgresql://u@127.0.0.1:1/db");
    environment.put("EVENT", with(member));
    InvalidEventException refusal =
        catchThrowableOfType(
            InvalidEventException.class, () -> Envelope.readArchived(with(member)));
    Answer answer = script("\"$LOGGER\" \"$EVENT\"");
    assertThat(answer.status()).isEqualTo(1);
    assertThat(answer.err())
        .isEqualTo("ERROR: " + shellWords(member, refusal) + "\nERROR: Event validation failed\n");
    assertThat(spool().isEmpty()).isTrue();
  }

  /** The old validator's words where it had some, Java's for all that it let pass. */
  private static String shellWords(String member, InvalidEventException refusal) {
    if (refusal.defect() == Defect.INVALID_JSON) {
      return "Invalid JSON";
    }
    return member.startsWith("\"run_at")
        ? "Invalid run_at format: 2025-12-01T22:54:20+18:30"
        : "Invalid " + refusal.field() + ": " + refusal.rule();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "\"payload\":{\"n\":1e999,\"m\":[-0.5E-3,true,false,null,12,{}]}",
        "\"payload\":{\"n\":\"\\\\u0000\"}",
        "\"payload\":{\"n\":\"\\ud83d\\ude00 \\\"n\\\": NaN, \\\\\"}",
        "\"payload\":{\"n\":{\"n\":1},\"m\":[{\"n\":1},{\"n\":2}]}",
        "\"payload\"\t:\n{\"n\" : \r\n 1}",
        "\"causation_id\":null,\"payload\":{}",
        "\"run_at\":\"2025-12-01T22:54:20-18:00\",\"payload\":{}",
      })
  void what_java_takes_is_spooled_as_it_was_written(String member) throws Exception {
    environment.put("CORTEX_EVENT_ID", "evt_20251201_165420_00");
    String url = String.valueOf(environment.put("DATABASE_URL", "postgresql://u@127.0.0.1:1/db"));
    environment.put("EVENT", with(member));
    EventDraft draft = Envelope.readArchived(with(member));
    Answer answer = script("\"$LOGGER\" \"$EVENT\"");
    assertThat(answer.status()).as(answer.err()).isZero();
    assertThat(url).isNotEmpty();
    assertThat(drain()).isEqualTo(new DrainSummary(1, 0, 0, 0));
    assertThat(strings("select payload::text from cortex.events"))
        .isEqualTo(strings("select ?::jsonb::text", draft.payload().orElseThrow().text()));
  }

  /** What bash checks by itself and what only jq can is taken and refused alike. */
  @ParameterizedTest
  @ValueSource(
      strings = {
        "{}",
        " { \"a\" : -0.50 , \"b\":null,\"\":true } ",
        "{\"a\":\"it's | $(touch canary) `touch canary` ${HOME} %s | {}, :\",\"b\":12345678901234567890.5}",
        "{\"a\":1,\"b\":\"\\\"a\\\":1\"}",
        "{\"a\":{\"a\":[1,2]}}",
        "{\"a\":\"é\"}",
      })
  void a_payload_is_spooled_as_it_was_given(String payload) throws Exception {
    String there = String.valueOf(environment.get("DATABASE_URL"));
    environment.put("PAYLOAD", payload);
    for (String url : List.of(there, "postgresql://u@127.0.0.1:1/db")) {
      environment.put("DATABASE_URL", url);
      Answer answer =
          script(
              "source \"$LOGGER\"; create_and_log_event task.failed 'w $x `y`' \"$PAYLOAD\" c-1 high");
      assertThat(answer.status()).as(answer.err()).isZero();
    }
    assertThat(drain()).isEqualTo(new DrainSummary(1, 0, 0, 0));
    assertThat(
            strings(
                "select concat_ws(' ', source, priority, correlation_id, payload) from cortex.events"))
        .hasSize(2)
        .containsOnly("w $x `y` high c-1 " + strings("select ?::jsonb::text", payload).get(0));
    assertThat(directory.resolve("canary")).doesNotExist();
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "{\"a\":1,\"a\":2}",
        "{\"a\":1,}",
        "{\"a\":01}",
        "{\"a\":NaN}",
        "{\"a\":1}}",
        "{\"a\" 1}",
        "{\"a\":\"x\ty\"}",
        "[]",
      })
  void a_payload_that_is_none_is_refused(String payload) throws Exception {
    environment.put("PAYLOAD", payload);
    Answer answer = script("source \"$LOGGER\"; create_and_log_event task.failed w \"$PAYLOAD\"");
    assertThat(answer.status()).isEqualTo(1);
    assertThat(answer.err()).startsWith("ERROR: Invalid payload: m");
  }

  @Test
  void documents_are_held_to_the_depth_and_the_digits_of_the_database() throws Exception {
    environment.put("DATABASE_URL", "postgresql://u@127.0.0.1:1/db");
    Map<String, String> refused =
        Map.of(
            nested(101),
            "may be nested at most 100 deep, is nested deeper",
            nested(300),
            "may be nested at most 100 deep, is nested deeper",
            "{\"n\": " + "1".repeat(1001) + "}",
            "may hold numbers of at most 1000 digits, holds a longer one",
            "{\"n\": 0." + "1".repeat(1000) + "}",
            "may hold numbers of at most 1000 digits, holds a longer one");
    for (Map.Entry<String, String> each : refused.entrySet()) {
      environment.put("PAYLOAD", each.getKey());
      Answer answer = script("source \"$LOGGER\"; create_and_log_event task.failed w \"$PAYLOAD\"");
      assertThat(answer)
          .isEqualTo(
              new Answer(
                  1,
                  "",
                  "ERROR: Invalid payload: %s\nERROR: Event validation failed\n"
                      .formatted(each.getValue())));
    }
    for (String payload : List.of(nested(100), "{\"n\": " + "1".repeat(1000) + "}")) {
      environment.put("PAYLOAD", payload);
      assertThat(
              script("source \"$LOGGER\"; create_and_log_event task.failed w \"$PAYLOAD\"")
                  .status())
          .isZero();
    }
    assertThat(drain()).isEqualTo(new DrainSummary(2, 0, 0, 0));
  }

  private static String nested(int depth) {
    return "{\"n\":".repeat(depth - 1) + "{}" + "}".repeat(depth - 1);
  }

  @Test
  void a_payload_that_is_too_large_is_refused_before_it_is_spooled() throws Exception {
    environment.put("DATABASE_URL", "postgresql://u@127.0.0.1:1/db");
    Path file = directory.resolve("event.json");
    // As jsonb spells it, a blank behind the colon, it has one byte too many.
    Files.writeString(file, with("\"payload\":{\"n\":\"" + "x".repeat(262144 - 8) + "\"}"));
    Answer answer = script("\"$LOGGER\" < event.json");
    assertThat(answer.status()).isEqualTo(1);
    assertThat(answer.err())
        .isEqualTo(
            "ERROR: Invalid payload: may have at most 262144 bytes of JSON while the database is away\n");
    assertThat(spool().isEmpty()).isTrue();

    environment.put("CORTEX_SPOOL_MAX_PAYLOAD_BYTES", "262145");
    assertThat(script("\"$LOGGER\" < event.json").status()).isZero();
    Files.writeString(file, with("\"payload\":{\"n\":\"" + "x".repeat(262144 - 9) + "\"}"));
    environment.remove("CORTEX_SPOOL_MAX_PAYLOAD_BYTES");
    assertThat(script("\"$LOGGER\" < event.json").status()).isZero();
    assertThat(drain()).isEqualTo(new DrainSummary(1, 1, 0, 0));
  }

  @Test
  void what_comes_behind_a_nul_is_not_passed_over() throws Exception {
    environment.put("EVENT", ENVELOPE);
    assertThat(script("printf '%s\\0{' \"$EVENT\" | \"$LOGGER\""))
        .isEqualTo(new Answer(1, "", "ERROR: Invalid event: may not hold the character NUL\n"));
  }

  @Test
  void the_database_is_found_in_the_order_in_which_the_command_line_looks() throws Exception {
    environment.put("EVENT", ENVELOPE);
    environment.put("CORTEX_DATA_DIR", directory.resolve("stopped").toString());
    environment.put("PGHOST", "127.0.0.1");
    environment.put("PGPORT", "1");
    assertThat(script("\"$LOGGER\" \"$EVENT\"").out()).endsWith("-> cortex.events\n");

    PGSimpleDataSource login =
        database.address("cortex_emitter").dataSource().unwrap(PGSimpleDataSource.class);
    environment.put("DATABASE_URL", database.address("cortex_emitter").jdbcUrl());
    environment.put("PGUSER", String.valueOf(login.getUser()));
    environment.put("PGPASSWORD", password());
    assertThat(script("\"$LOGGER\" \"$EVENT\"").out()).endsWith("-> cortex.events\n");

    environment.remove("DATABASE_URL");
    assertThat(script("\"$LOGGER\" \"$EVENT\"").err())
        .contains("the embedded server of CORTEX_DATA_DIR does not run");

    environment.remove("CORTEX_DATA_DIR");
    environment.put("CORTEX_SPOOL_RETRY_SECONDS", "0");
    environment.put("PGHOST", login.getServerNames()[0]);
    environment.put("PGPORT", Integer.toString(login.getPortNumbers()[0]));
    environment.put("PGDATABASE", String.valueOf(login.getDatabaseName()));
    assertThat(script("\"$LOGGER\" \"$EVENT\"").out()).endsWith("-> cortex.events\n");

    Files.writeString(
        directory.resolve("services"),
        "[cortex]\nhost=%s\nport=%d\ndbname=%s\nsslmode=prefer\n"
            .formatted(
                login.getServerNames()[0], login.getPortNumbers()[0], login.getDatabaseName()));
    environment.keySet().removeAll(List.of("PGHOST", "PGPORT", "PGDATABASE"));
    assertThat(script("\"$LOGGER\" \"$EVENT\"").err()).contains("no database is named");
    environment.put("PGSERVICEFILE", directory.resolve("services").toString());
    environment.put("PGSERVICE", "cortex");
    assertThat(script("\"$LOGGER\" \"$EVENT\"").out()).endsWith("-> cortex.events\n");
  }

  /** 0.0.0.0 leads to this machine and is not one of its names. */
  @Test
  void another_host_is_spoken_to_under_a_verified_certificate_only() throws Exception {
    environment.put("EVENT", ENVELOPE);
    String url = environment.get("DATABASE_URL").replace("localhost", "0.0.0.0");
    environment.put("DATABASE_URL", url.replace("127.0.0.1", "0.0.0.0"));
    Answer answer = script("\"$LOGGER\" \"$EVENT\"");
    assertThat(answer.status()).as(answer.err()).isZero();
    assertThat(answer.err()).contains("SSL").contains("spooled");

    environment.put("PGSSLMODE", "disable");
    environment.put("CORTEX_SPOOL_RETRY_SECONDS", "0");
    assertThat(script("\"$LOGGER\" \"$EVENT\"").out()).endsWith("-> cortex.events\n");
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "mysql://u:hidden@h/db",
        "postgresql://u:hid/den@h/db",
        "postgresql://u:hid?den@h/db",
        "postgresql://u@h/db?hidden=1"
      })
  void a_url_that_is_written_wrongly_is_refused_without_being_repeated(String url)
      throws Exception {
    environment.put("DATABASE_URL", url);
    environment.put("EVENT", ENVELOPE);
    Answer answer = script("\"$LOGGER\" \"$EVENT\"");
    assertThat(answer.status()).isEqualTo(1);
    assertThat(answer.err())
        .startsWith("ERROR: Event refused: DATABASE_URL must ")
        .doesNotContain("hid", "den");
    assertThat(spool().isEmpty()).isTrue();
  }

  @Test
  void an_event_whose_file_a_drain_takes_too_early_is_written_again() throws Exception {
    environment.put("DATABASE_URL", "postgresql://u@127.0.0.1:1/db");
    Path programs = recordingPrograms();
    Files.writeString(
        programs.resolve("sync"),
        """
        #!/bin/bash
        if [[ ! -e "%1$s/taken" ]]; then
          for file in "${@: -1}"/*.jsonl; do "%2$s" "$file" "%1$s/taken"; done
        fi
        exec "%3$s" "$@"
        """
            .formatted(directory, which("mv"), which("sync")));
    environment.put("PATH", programs.toString());
    Answer answer = script("source \"$LOGGER\"; create_and_log_event task.failed w '{}'");
    assertThat(answer.status()).as(answer.err()).isZero();
    assertThat(directory.resolve("taken")).exists();
    assertThat(Path.of(answer.out().strip().replaceFirst(".* -> ", ""))).exists();
    assertThat(drain().delivered()).isEqualTo(1);
  }

  @Test
  void a_spool_that_is_open_to_others_is_refused_as_java_refuses_it() throws Exception {
    environment.put("DATABASE_URL", "postgresql://u@127.0.0.1:1/db");
    Path open = Files.createDirectory(directory.resolve("open"));
    Files.setPosixFilePermissions(open, PosixFilePermissions.fromString("rwxr-x---"));
    environment.put("CORTEX_SPOOL_DIR", open.toString());
    String twice =
        "source \"$LOGGER\"; for n in 1 2; do create_and_log_event task.failed w '{}'; done";
    Answer answer = script(twice);
    assertThat(answer.status()).isEqualTo(1);
    assertThat(answer.err())
        .contains("ERROR: the spool must be open to its owner only (0700): " + open)
        .doesNotContain("spooled");
    assertThat(open).isEmptyDirectory();
    assertThatThrownBy(() -> Spool.at(open).isEmpty())
        .hasMessageContaining("must be open to its owner only");

    Files.setPosixFilePermissions(open, PosixFilePermissions.fromString("rwx------"));
    assertThat(script(twice).status()).isZero();
    assertThat(Spool.at(open).status().events()).isEqualTo(2);
  }

  @Test
  void too_few_arguments_and_a_question_for_help_are_answered_with_the_usage() throws Exception {
    String usage = "Usage: event-logger.sh <event_json>\n";
    Answer few = script("\"$LOGGER\" --create task.failed w");
    assertThat(few.status()).isEqualTo(1);
    assertThat(few.err()).startsWith(usage).doesNotContain("unbound");
    for (String function : List.of("create_event", "create_and_log_event")) {
      Answer answer = script("set -u; source \"$LOGGER\"; " + function + " task.failed");
      assertThat(answer.status()).isEqualTo(1);
      assertThat(answer.err())
          .isEqualTo(
              "Usage: "
                  + function
                  + " <event_type> <source> <payload_json> [correlation_id] [priority]\n");
    }
    Answer help = script("\"$LOGGER\" --help");
    assertThat(help.status()).isZero();
    assertThat(help.out()).startsWith(usage);
    assertThat(help.err()).isEmpty();
    assertThat(script("\"${LOGGER/logger/validator}\" --help").out()).startsWith("Usage: ");
  }

  @Test
  void a_logger_without_its_validator_says_so_and_stops() throws Exception {
    environment.put("LOGGER", Files.copy(LOGGER, directory.resolve("alone.sh")).toString());
    String said =
        "ERROR: event-validator.sh must be beside event-logger.sh: " + directory + "/alone.sh\n";
    assertThat(script("bash \"$LOGGER\" '{}'")).isEqualTo(new Answer(1, "", said));
    assertThat(script("set -e; source \"$LOGGER\"; echo on")).isEqualTo(new Answer(1, "", said));
  }

  @Test
  void an_event_that_is_logged_twice_is_there_once() throws Exception {
    environment.put("EVENT", ENVELOPE);
    assertThat(script("\"$LOGGER\" \"$EVENT\"; \"$LOGGER\" \"$EVENT\"").status()).isZero();
    assertThat(strings("select id from cortex.events")).hasSize(1);
  }

  @Test
  void nothing_in_an_event_is_run_or_changed_on_its_way() throws Exception {
    for (String backslashes : List.of("on", "off")) {
      execute(
          "delete from cortex.events",
          "delete from cortex.dedupe_keys",
          "alter database \"%s\" set standard_conforming_strings = %s"
              .formatted(strings("select current_database()").get(0), backslashes));
      for (String text : HOSTILE) {
        environment.put("PAYLOAD", "{\"n\": 12345678901234567890.5, \"text\": \"" + text + "\"}");
        Answer answer =
            script(
                "source \"$LOGGER\"; create_and_log_event task.failed \"$PAYLOAD\" \"$PAYLOAD\"");
        assertThat(answer.status()).as("%s: %s", text, answer.err()).isZero();
      }
      assertThat(strings("select payload::text from cortex.events order by id"))
          .isEqualTo(payloads());
      assertThat(strings("select source from cortex.events order by id"))
          .hasSize(HOSTILE.length)
          .allMatch(source -> source.startsWith("{\"n\": 12345678901234567890.5"));
    }
    assertThat(directory.resolve("canary")).doesNotExist();
  }

  @Test
  void nothing_in_an_event_is_run_or_changed_on_its_way_through_the_spool() throws Exception {
    String there = environment.put("DATABASE_URL", "postgresql://u:p%40@127.0.0.1:1/db");
    for (String text : HOSTILE) {
      environment.put("PAYLOAD", "{\"n\": 12345678901234567890.5, \"text\": \"" + text + "\"}");
      Answer answer = script("source \"$LOGGER\"; create_and_log_event task.failed w \"$PAYLOAD\"");
      assertThat(answer.status()).as("%s: %s", text, answer.err()).isZero();
      assertThat(answer.err()).contains("spooled, to be delivered later").doesNotContain("p@");
    }
    assertThat(there).isNotNull();
    assertThat(drain()).isEqualTo(new DrainSummary(HOSTILE.length, 0, 0, 0));
    assertThat(strings("select payload::text from cortex.events order by id"))
        .isEqualTo(payloads());
    assertThat(directory.resolve("canary")).doesNotExist();
  }

  private List<String> payloads() throws SQLException {
    List<String> payloads = new ArrayList<>();
    for (String text : HOSTILE) {
      payloads.add(
          strings(
                  "select ?::jsonb::text",
                  "{\"n\": 12345678901234567890.5, \"text\": \"" + text + "\"}")
              .get(0));
    }
    return payloads;
  }

  @ParameterizedTest
  @ValueSource(
      strings = {
        "create_and_log_event task.failed w '{\"payload\": \"hidden\"}'",
        "log_event \"$CREATED\"",
      })
  void a_call_runs_two_programs_at_most_and_neither_password_nor_payload_is_in_their_arguments(
      String call) throws Exception {
    environment.put(
        "CREATED",
        script("\"$LOGGER\" --create task.failed w '{\"payload\": \"hidden\"}' c-1 high").out());
    environment.put("PATH", recordingPrograms().toString());
    String there = environment.get("DATABASE_URL");
    for (String url : List.of(there, "postgresql://u:secret@127.0.0.1:1/db")) {
      environment.put("DATABASE_URL", url);
      Answer first = script("source \"$LOGGER\"; " + call);
      assertThat(first.status()).as(first.err()).isZero();
      Files.deleteIfExists(directory.resolve("calls"));
      Answer answer = script("source \"$LOGGER\"; " + call);
      assertThat(answer.status()).as(answer.err()).isZero();
      List<String> calls = Files.readAllLines(directory.resolve("calls"));
      assertThat(calls.stream().filter(one -> one.startsWith("run ")))
          .hasSize(url.equals(there) ? 2 : 1);
      assertThat(calls).noneMatch(one -> one.contains("hidden") || one.contains("secret"));
      String password = password();
      assertThat(calls).noneMatch(one -> one.contains(password));
    }
    assertThat(drain().delivered()).isEqualTo(2);
    assertThat(strings("select distinct payload::text from cortex.events"))
        .containsExactly("{\"payload\": \"hidden\"}");
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      value = {
        "2025-02-30T22:54:20+0000 | w   | {}             | Invalid timestamp format: 2025-02-30T22:54:20+0000",
        "2025-12-01T24:54:20+0000 | w   | {}             | Invalid timestamp format: 2025-12-01T24:54:20+0000",
        "2025-12-31T22:54:20+0000 | ''  | {}             | Invalid source: must be a text of 1 to 200 characters",
        "2025-12-31T22:54:20+0000 | w   | {\"a\": 01}    | Invalid JSON",
        "2025-12-31T22:54:20+0000 | w   | {\"a\": 1}}    | Invalid JSON",
        "2025-12-31T22:54:20+0000 | w   | {}, \"key\": 1 | Invalid key: must be a text of 1 to 200 characters",
      })
  void what_looks_like_a_created_event_and_is_none_is_refused(
      String time, String source, String payload, String wrong) throws Exception {
    environment.put(
        "EVENT",
        """
        {
          "event_id": "evt_20251201_165420_1",
          "event_type": "task.failed",
          "timestamp": "%s",
          "source": "%s",
          "metadata": {
            "priority": "high"
          },
          "payload": %s
        }
        """
            .formatted(time, source, payload));
    Answer answer = script("\"$LOGGER\" \"$EVENT\"");
    assertThat(answer)
        .isEqualTo(new Answer(1, "", "ERROR: " + wrong + "\nERROR: Event validation failed\n"));
  }

  private String password() throws SQLException {
    return database
        .address("cortex_emitter")
        .dataSource()
        .unwrap(PGSimpleDataSource.class)
        .getPassword();
  }

  /** All that a call may find, each of which notes its arguments first. */
  private Path recordingPrograms() throws IOException {
    Path programs = Files.createDirectory(directory.resolve("programs"));
    for (String program : List.of("jq", "psql", "timeout", "sync", "stat", "mkdir", "rm")) {
      Path file =
          Files.writeString(
              programs.resolve(program),
              """
              #!/bin/bash
              echo "run %1$s $*" >> "%2$s/calls"
              exec %3$s "$@"
              """
                  .formatted(program, directory, which(program)));
      Files.setPosixFilePermissions(file, PosixFilePermissions.fromString("rwx------"));
    }
    return programs;
  }

  @Test
  void while_the_database_is_away_an_event_is_durable_in_the_spool_and_delivered_once()
      throws Exception {
    environment.put("DATABASE_URL", "postgresql://u@127.0.0.1:1/db");
    Answer answer =
        script(
            """
            set -euo pipefail
            source "$LOGGER"
            for n in 1 2 3; do create_and_log_event task.failed w "{\\"n\\": $n}"; done
            "$LOGGER" --create task.failed w '{"n": 4}' | "$LOGGER"
            ls -l "$HOME/.local/state/cortex-events/spool" | grep -c '^-rw-------.*jsonl$'
            """);
    assertThat(answer.status()).as(answer.err()).isZero();
    assertThat(answer.out()).contains(".000001.jsonl").endsWith("4\n");
    assertThat(spool().status().unreadable()).isZero();
    assertThat(drain()).isEqualTo(new DrainSummary(4, 0, 0, 0));
    assertThat(strings("select payload ->> 'n' from cortex.events order by id"))
        .containsExactly("1", "2", "3", "4");
    assertThat(drain()).isEqualTo(new DrainSummary(0, 0, 0, 0));
  }

  @Test
  void where_neither_takes_the_event_the_call_fails() throws Exception {
    environment.put("DATABASE_URL", "postgresql://u@127.0.0.1:1/db");
    environment.put("EVENT", ENVELOPE);
    environment.put("CORTEX_SPOOL_DIR", "/proc/nowhere");
    Answer unwritable = script("\"$LOGGER\" \"$EVENT\"");
    assertThat(unwritable.status()).isEqualTo(1);
    assertThat(unwritable.err()).contains("ERROR: Event not logged");

    environment.put("CORTEX_SPOOL_DIR", directory.resolve("full").toString());
    environment.put("CORTEX_SPOOL_MAX_FILES", "2");
    environment.put("CORTEX_SPOOL_RETRY_SECONDS", "0");
    Answer full =
        script(
            "source \"$LOGGER\"; for n in 1 2 3; do create_and_log_event task.failed w '{}'; done; exit $?");
    assertThat(full.status()).isEqualTo(1);
    assertThat(full.err()).contains("ERROR: the spool is full, it holds 2 files");

    Path link = Files.createSymbolicLink(directory.resolve("link"), directory.resolve("full"));
    environment.put("CORTEX_SPOOL_DIR", link.toString());
    assertThat(script("\"$LOGGER\" \"$EVENT\"").err()).contains("not a link");
  }

  @Test
  void an_input_that_is_empty_and_a_payload_that_is_none_are_errors() throws Exception {
    assertThat(script("echo | \"$LOGGER\""))
        .isEqualTo(new Answer(1, "", "ERROR: Empty input from stdin\n"));
    assertThat(script("\"$LOGGER\" --create task.failed w '{'").status()).isEqualTo(2);
    assertThat(script("\"$LOGGER\" nonsense").err())
        .isEqualTo("ERROR: Invalid JSON\nERROR: Event validation failed\n");
  }

  private static String with(String member) {
    return ENVELOPE.substring(0, ENVELOPE.length() - 1) + "," + member + "}";
  }

  private Spool spool() {
    return Spool.at(directory.resolve(".local/state/cortex-events/spool"));
  }

  private DrainSummary drain() throws SQLException {
    try (Connection connection = database.address("cortex_emitter").dataSource().getConnection()) {
      return spool().drain(connection);
    }
  }

  private Answer script(String script) throws IOException, InterruptedException {
    Path file = Files.writeString(directory.resolve("script.sh"), script);
    Path out = directory.resolve("out");
    Path err = directory.resolve("err");
    ProcessBuilder builder =
        new ProcessBuilder("/bin/bash", file.toString())
            .directory(directory.toFile())
            .redirectInput(ProcessBuilder.Redirect.from(Path.of("/dev/null").toFile()))
            .redirectOutput(out.toFile())
            .redirectError(err.toFile());
    builder.environment().clear();
    builder.environment().putAll(environment);
    int status = builder.start().waitFor();
    return new Answer(
        status,
        Files.readString(out, StandardCharsets.UTF_8),
        Files.readString(err, StandardCharsets.UTF_8));
  }

  private static boolean isInstalled(String program) {
    return Stream.of(System.getenv("PATH").split(":"))
        .anyMatch(path -> Files.isExecutable(Path.of(path, program)));
  }

  private static Path which(String program) {
    return Stream.of(System.getenv("PATH").split(":"))
        .map(path -> Path.of(path, program))
        .filter(Files::isExecutable)
        .findFirst()
        .orElseThrow();
  }

  private static String url(DatabaseAddress address) throws SQLException {
    PGSimpleDataSource source = address.dataSource().unwrap(PGSimpleDataSource.class);
    return address.jdbcUrl() + "?user=" + source.getUser() + "&password=" + source.getPassword();
  }

  private void execute(String... statements) throws SQLException {
    try (Connection connection = database.superuserAddress().dataSource().getConnection();
        Statement statement = connection.createStatement()) {
      for (String one : statements) {
        statement.execute(one);
      }
    }
  }

  private List<String> strings(String query, String... parameters) throws SQLException {
    List<String> strings = new ArrayList<>();
    try (Connection connection = database.superuserAddress().dataSource().getConnection();
        PreparedStatement statement = connection.prepareStatement(query)) {
      for (int i = 0; i < parameters.length; i++) {
        statement.setString(i + 1, parameters[i]);
      }
      try (ResultSet rows = statement.executeQuery()) {
        while (rows.next()) {
          strings.add(rows.getString(1));
        }
      }
    }
    return strings;
  }
}
