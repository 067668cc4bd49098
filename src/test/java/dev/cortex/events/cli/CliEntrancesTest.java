package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;

import com.fasterxml.jackson.databind.ObjectMapper;
import dev.cortex.events.cli.TestCommandLine.Answer;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.outbox.BadEvent;
import dev.cortex.events.outbox.EntranceTable;
import java.io.IOException;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.TestFactory;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.extension.ExtendWith;

/** Runs the cells of the command line in the table of docs/entrances.md. */
@ExtendWith(PostgresExtension.class)
@TestInstance(TestInstance.Lifecycle.PER_CLASS)
class CliEntrancesTest {
  private static final AtomicInteger SAMPLES = new AtomicInteger(100_000);
  private static final ObjectMapper JSON = new ObjectMapper();

  private static final Map<String, String> OPTIONS =
      Map.of(
          "payload", "--payload",
          "correlation_id", "--correlation",
          "priority", "--priority",
          "key", "--key",
          "dedupe_key", "--dedupe-key",
          "run_at", "--run-at",
          "source", "--source");

  private final TestDatabase database;
  private TestCommandLine cortex;

  CliEntrancesTest(TestDatabase database) {
    this.database = database;
  }

  @BeforeAll
  void connect() throws SQLException {
    cortex = TestCommandLine.on(database);
  }

  @TestFactory
  Stream<DynamicTest> a_cell_of_emit_from_options_is_as_the_table_says() {
    return EntranceTable.rows().stream()
        .filter(row -> !row.verdict("emit").equals(EntranceTable.IMPOSSIBLE))
        .map(row -> DynamicTest.dynamicTest(row.defect(), () -> check(row, "emit")));
  }

  @TestFactory
  Stream<DynamicTest> a_cell_of_emit_from_lines_is_as_the_table_says() {
    return EntranceTable.rows().stream()
        .filter(row -> !row.verdict("emit -").equals(EntranceTable.IMPOSSIBLE))
        .map(row -> DynamicTest.dynamicTest(row.defect(), () -> check(row, "emit -")));
  }

  private void check(EntranceTable.Row row, String entrance) throws Exception {
    BadEvent sample = BadEvent.of(row.defect(), SAMPLES.incrementAndGet());
    String first = "";
    if (sample.before().isPresent()) {
      Answer before = cortex.run(sample.before().get().envelope(), "emit", "-");
      assertThat(before.status()).as(before.err()).isZero();
      first = before.out();
    }
    long before = recorded();
    Answer answer = entrance.equals("emit") ? emit(sample) : line(sample);
    switch (row.verdict(entrance)) {
      case "accepted" -> {
        assertThat(answer.status()).as(answer.err()).isZero();
        assertThat(recorded()).isEqualTo(before + 1);
      }
      case "dropped" -> {
        assertThat(answer.status()).as(answer.err()).isZero();
        assertThat(answer.out()).isEqualTo(first);
        assertThat(recorded()).isEqualTo(before);
      }
      case "exit 64" -> refused(row, answer, 64, before, false);
      case "exit 65" -> refused(row, answer, 65, before, true);
      default -> throw new AssertionError("a verdict that no test knows: " + row.verdict(entrance));
    }
  }

  private void refused(
      EntranceTable.Row row, Answer answer, int status, long before, boolean isNamed)
      throws SQLException {
    assertThat(answer.status()).as(answer.err()).isEqualTo(status);
    assertThat(answer.out()).isEmpty();
    assertThat(recorded()).isEqualTo(before);
    if (isNamed) {
      // Or that it is no JSON or no timestamp at all, which is looked at first.
      assertThat(answer.err())
          .containsAnyOf(
              row.field() + " " + row.rule(),
              "event must be valid JSON",
              row.field() + " must be an ISO 8601 date and time",
              row.field() + " must be UTF-8");
    }
  }

  private Answer line(BadEvent sample) {
    return cortex.run(sample.envelope(), "emit", "-");
  }

  private Answer emit(BadEvent sample) throws IOException {
    List<String> arguments = new ArrayList<>(List.of("emit"));
    if (sample.members().containsKey("event_type")) {
      arguments.add(text(sample.member("event_type")));
    }
    for (Map.Entry<String, String> option : OPTIONS.entrySet()) {
      String json = sample.members().get(option.getKey());
      if (json != null) {
        boolean isPayload = option.getKey().equals("payload");
        arguments.add(option.getValue() + "=" + (isPayload ? "-" : text(json)));
      }
    }
    byte[] payload = BadEvent.bytes(sample.members().getOrDefault("payload", ""));
    return cortex.run(payload, arguments.toArray(new String[0]));
  }

  private static String text(String json) throws IOException {
    return JSON.readTree(json).asText();
  }

  private long recorded() throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery("select count(*) from cortex.events")) {
      row.next();
      return row.getLong(1);
    }
  }
}
