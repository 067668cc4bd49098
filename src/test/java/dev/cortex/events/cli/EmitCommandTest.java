package dev.cortex.events.cli;

import static dev.cortex.events.cli.TestCommandLine.bytes;
import static org.assertj.core.api.Assertions.assertThat;
import static org.junit.jupiter.api.Assumptions.assumeFalse;

import dev.cortex.events.cli.TestCommandLine.Answer;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.ErrorCode;
import java.io.ByteArrayInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.io.SequenceInputStream;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.SQLException;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What {@code cortex emit} records, prints and refuses. */
@ExtendWith(PostgresExtension.class)
class EmitCommandTest {
  private final TestDatabase database;
  private TestCommandLine cortex;
  private TestSubscription subscription;
  private String type = "";

  EmitCommandTest(TestDatabase database) {
    this.database = database;
  }

  @BeforeEach
  void a_type_of_its_own() throws SQLException {
    cortex = TestCommandLine.on(database);
    subscription = TestSubscription.in(database);
    type = subscription.type();
  }

  @Test
  void the_public_id_of_what_was_emitted_is_printed() throws SQLException {
    Answer answer = cortex.run("emit", type, "--source", "me", "--payload", "{\"a\": 1}");
    assertThat(answer.status()).as(answer.err()).isZero();
    assertThat(answer.out()).matches("evt_[0-9]{8}_[0-9]{6}_[0-9a-f]+\\R");
    assertThat(answer.err()).isEmpty();
    assertThat(subscription.recorded()).isEqualTo(1);
  }

  @Test
  void a_repeated_dedupe_key_prints_the_first_id_again() throws SQLException {
    Answer first = cortex.run("emit", type, "--source", "me", "--dedupe-key", "once-" + type);
    Answer second = cortex.run("emit", type, "--source", "me", "--dedupe-key", "once-" + type);
    assertThat(second).isEqualTo(first);
    assertThat(subscription.recorded()).isEqualTo(1);
  }

  @Test
  void a_payload_comes_from_an_argument_a_file_or_standard_input(@TempDir Path directory)
      throws Exception {
    Path file = Files.writeString(directory.resolve("payload.json"), "{\"from\": \"file\"}");
    cortex.run("emit", type, "--source", "me", "--payload", "{\"from\": \"argument\"}");
    cortex.run("emit", type, "--source", "me", "--payload", "@" + file);
    cortex.run(
        bytes("{\"from\": \"standard input\"}"), "emit", type, "--source", "me", "--payload", "-");
    assertThat(
            subscription.text(
                "select string_agg(payload ->> 'from', ', ' order by payload ->> 'from')"
                    + " from cortex.events where type = ?",
                type))
        .isEqualTo("argument, file, standard input");
  }

  @Test
  void an_argument_that_begins_with_an_at_sign_is_not_read_as_a_file_of_arguments(
      @TempDir Path directory) throws IOException {
    Path file = Files.writeString(directory.resolve("arguments"), "--priority high");
    Answer answer = cortex.run("emit", type, "--source", "@" + file);
    assertThat(answer.status()).as(answer.err()).isZero();
    assertThat(cortex.run("events", "--type", type).out()).contains("\"@" + file + "\"");
  }

  @Test
  void a_payload_file_that_is_not_there_is_not_found() {
    Answer answer = cortex.run("emit", type, "--source", "me", "--payload", "@/no/such/file");
    assertThat(answer.status()).isEqualTo(66);
    assertThat(answer.err()).contains("no such file").contains("/no/such/file");
  }

  @Test
  void a_payload_comes_through_a_pipe(@TempDir Path directory) throws Exception {
    Process emit =
        cortex.start(directory.resolve("log"), "emit", type, "--source", "me", "--payload", "-");
    try (OutputStream pipe = emit.getOutputStream()) {
      pipe.write(bytes("{\"from\": \"a pipe\"}"));
    }
    assertThat(emit.waitFor()).as(Files.readString(directory.resolve("log"))).isZero();
    assertThat(subscription.recorded()).isEqualTo(1);
  }

  @Test
  void a_payload_that_never_ends_is_refused_before_the_memory_is_full() {
    Answer answer = cortex.run("emit", type, "--source", "me", "--payload", "@/dev/zero");
    assertThat(answer.status()).isEqualTo(65);
    assertThat(answer.err()).contains("payload may have at most 16777216 bytes");
  }

  @Test
  void a_byte_order_mark_before_the_input_is_passed_over() throws SQLException {
    Answer one =
        cortex.run(bytes("\uFEFF{\"a\": 1}"), "emit", type, "--source", "me", "--payload", "-");
    assertThat(one.status()).as(one.err()).isZero();
    Answer many =
        cortex.run(
            bytes("\uFEFF{\"event_type\": \"%s\", \"source\": \"me\"}\n".formatted(type)),
            "emit",
            "-");
    assertThat(many.status()).as(many.err()).isZero();
    assertThat(subscription.recorded()).isEqualTo(2);
  }

  @Test
  void a_payload_file_that_is_missing_is_named_once() {
    Answer answer = cortex.run("emit", type, "--source", "me", "--payload", "@missing.json");
    assertThat(answer.status()).isEqualTo(66);
    assertThat(answer.err())
        .isEqualTo("cortex: cannot read: no such file: missing.json%n".formatted());
  }

  @Test
  void a_directory_is_no_payload(@TempDir Path directory) {
    Answer answer = cortex.run("emit", type, "--source", "me", "--payload", "@" + directory);
    assertThat(answer.status()).isEqualTo(66);
    assertThat(answer.err())
        .contains("cannot read " + directory)
        .contains("Is a directory")
        .doesNotContain("\tat ");
  }

  @Test
  void a_payload_file_of_somebody_else_is_not_permitted(@TempDir Path directory) throws Exception {
    assertThat(new UnreadableInputException("x", new AccessDeniedException("x")).code())
        .isEqualTo(ErrorCode.NOT_PERMITTED);
    Path file = Files.writeString(directory.resolve("payload.json"), "{}");
    Files.setPosixFilePermissions(file, Set.of());
    assumeFalse(Files.isReadable(file), "root may read everything");
    Answer answer = cortex.run("emit", type, "--source", "me", "--payload", "@" + file);
    assertThat(answer.status()).isEqualTo(77);
    assertThat(answer.err()).contains("permission denied: " + file);
  }

  @ParameterizedTest
  @ValueSource(strings = {"emit -", "emit task.failed --source me --payload -"})
  void an_input_that_breaks_off_is_named_with_the_reason(String command) {
    Answer answer = cortex.run(new BrokenInput(), command.split(" "));
    assertThat(answer.status()).as(answer.err()).isEqualTo(66);
    assertThat(answer.out()).isEmpty();
    assertThat(answer.err())
        .isEqualTo("cortex: cannot read standard input: the line is cut%n".formatted());
  }

  /** As a terminal or a network file is whose other end has gone. */
  private static final class BrokenInput extends InputStream {
    @Override
    public int read() throws IOException {
      throw new IOException("the line is cut");
    }

    @Override
    public int read(byte[] target, int offset, int length) throws IOException {
      return read();
    }
  }

  /** In a locale without it, Java puts U+FFFD in place of each byte before we see the argument. */
  @ParameterizedTest
  @ValueSource(strings = {"emit %s --source Jösé", "pause %s --reason Jösé"})
  void an_argument_that_the_locale_has_destroyed_is_not_recorded(
      String command, @TempDir Path directory) throws Exception {
    Path log = directory.resolve("log");
    Process process = cortex.start(Map.of("LC_ALL", "C"), log, command.formatted(type).split(" "));
    assertThat(process.waitFor()).isEqualTo(65);
    assertThat(Files.readString(log)).contains("LC_ALL=C.UTF-8").contains("ANSI_X3.4-1968");
    assertThat(subscription.recorded()).isZero();
  }

  @Test
  void an_unknown_type_is_refused_with_field_rule_value_and_the_nearest_one() {
    Answer answer = cortex.run("emit", "task.faild", "--source", "me");
    assertThat(answer.status()).isEqualTo(65);
    assertThat(answer.out()).isEmpty();
    assertThat(answer.err())
        .contains("type must be a known type")
        .contains("\"task.faild\"")
        .contains("task.failed")
        .doesNotContain("\tat ");
    assertThat(answer.err().lines()).hasSize(1);
  }

  @Test
  void an_unknown_priority_is_refused_with_field_rule_and_value() throws SQLException {
    Answer answer = cortex.run("emit", type, "--source", "me", "--priority", "urgent");
    assertThat(answer.status()).isEqualTo(65);
    assertThat(answer.err())
        .contains("priority must be critical, high, medium or low")
        .contains("urgent");
    assertThat(subscription.recorded()).isZero();
  }

  @Test
  void a_refused_payload_is_not_shown() {
    Answer answer =
        cortex.run("emit", type, "--source", "me", "--payload", "{\"password\": secret}");
    assertThat(answer.status()).isEqualTo(65);
    assertThat(answer.err()).contains("payload").doesNotContain("secret");
  }

  @Test
  void lines_have_fates_of_their_own() throws SQLException {
    String good = "{\"event_type\": \"%s\", \"source\": \"a\"}".formatted(type);
    String unknown = "{\"event_type\": \"task.faild\", \"source\": \"a\"}";
    String incomplete = "{\"event_type\": \"%s\"}".formatted(type);
    Answer answer = emitLines(good, "nonsense", incomplete, "", unknown, good);
    assertThat(answer.status()).isEqualTo(65);
    assertThat(answer.out().lines()).hasSize(2).allMatch(id -> id.startsWith("evt_"));
    assertThat(answer.err().lines())
        .satisfiesExactly(
            line -> assertThat(line).startsWith("cortex: line 2: ").contains("valid JSON"),
            line -> assertThat(line).startsWith("cortex: line 3: ").contains("source must be"),
            line -> assertThat(line).startsWith("cortex: line 5: ").contains("task.failed"));
    assertThat(subscription.recorded()).isEqualTo(2);
  }

  @Test
  void a_line_that_never_ends_is_refused_after_what_was_good_before_it() throws Exception {
    InputStream endless =
        new SequenceInputStream(
            new ByteArrayInputStream(
                bytes("{\"event_type\": \"%s\", \"source\": \"a\"}\n".formatted(type))),
            Files.newInputStream(Path.of("/dev/zero")));
    Answer answer = cortex.run(endless, "emit", "-");
    assertThat(answer.status()).as(answer.err()).isEqualTo(65);
    assertThat(answer.err()).contains("line 2 may have at most 34603008 bytes");
    assertThat(answer.out().lines()).hasSize(1);
    assertThat(subscription.recorded()).isEqualTo(1);
  }

  @Test
  void the_nth_id_belongs_to_the_nth_good_line() {
    StringBuilder lines = new StringBuilder();
    for (int n = 0; n < 1_201; n++) {
      lines.append(
          "{\"event_type\": \"%s\", \"source\": \"s-%d\"}%n".formatted(type, n).replace("\r", ""));
    }
    Answer answer = cortex.run(bytes(lines.toString()), "emit", "-");
    assertThat(answer.status()).as(answer.err()).isZero();
    List<String> ids = answer.out().lines().toList();
    assertThat(ids).hasSize(1_201).doesNotHaveDuplicates();
    for (int n : List.of(0, 499, 500, 1_200)) {
      assertThat(cortex.run("trace", ids.get(n)).out()).contains("  from s-" + n + "  ");
    }
  }

  @Test
  void a_last_line_needs_no_end_and_no_input_is_nothing_to_do() {
    assertThat(cortex.run("emit", "-")).isEqualTo(new Answer(0, "", ""));
    Answer answer =
        cortex.run(
            bytes("{\"event_type\": \"%s\", \"source\": \"a\"}".formatted(type)), "emit", "-");
    assertThat(answer.status()).isZero();
    assertThat(answer.out().lines()).hasSize(1);
  }

  @Test
  void lines_say_everything_themselves() {
    Answer answer = cortex.run("emit", "-", "--source", "me");
    assertThat(answer.status()).isEqualTo(64);
    assertThat(answer.err()).contains("no other option may be given");
  }

  private Answer emitLines(String... lines) {
    return cortex.run(bytes(String.join("\n", lines) + "\n"), "emit", "-");
  }
}
