package dev.cortex.events.telemetry;

import static org.assertj.core.api.Assertions.assertThat;

import java.io.IOException;
import java.lang.reflect.RecordComponent;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Pattern;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** docs/telemetry.md is a contract: its table and the records of {@link EngineEvent} agree. */
class TelemetryTableTest {
  private static final Path TABLE =
      Path.of(System.getProperty("project.basedir", "."), "docs", "telemetry.md");
  private static final Path SOURCES =
      Path.of(System.getProperty("project.basedir", "."), "src/main/java/dev/cortex/events");
  private static final Pattern REASON =
      Pattern.compile(
          "\\b(?:charged?|failed|retry|snooze|dead|transactionEnded|[A-Z]+_[A-Z]+)"
              + "\\(\\s*\"([a-z]+(?:_[a-z]+)*)\",");
  private static final int COLUMNS = 5;
  private static final int FIELDS = 2;

  static Stream<Class<?>> every_engine_event() {
    return Arrays.stream(EngineEvent.class.getPermittedSubclasses());
  }

  @ParameterizedTest
  @MethodSource("every_engine_event")
  void an_engine_event_is_in_the_table_with_each_of_its_fields(Class<?> event) throws IOException {
    Map<String, List<String>> rows = rows();
    assertThat(rows).containsKey(event.getSimpleName());
    String fields = rows.get(event.getSimpleName()).get(FIELDS);
    assertThat(event.getRecordComponents())
        .extracting(RecordComponent::getName)
        .allSatisfy(name -> assertThat(fields).contains("`" + name + "`"));
  }

  @Test
  void the_table_has_no_engine_event_that_the_engine_does_not_tell() throws IOException {
    assertThat(rows().keySet())
        .containsExactlyInAnyOrderElementsOf(
            every_engine_event().map(Class::getSimpleName).toList());
  }

  /** A reason that nobody can look up is a riddle in the audit. */
  @Test
  void every_reason_that_a_worker_writes_is_in_the_table_of_reasons() throws IOException {
    String document = Files.readString(TABLE);
    assertThat(reasonsWritten())
        .contains("handler_failed", "time_budget", "transaction_ended", "event_gone")
        .allSatisfy(reason -> assertThat(document).contains("| `" + reason + "` |"));
  }

  /** The first argument of whatever makes a settlement or a charge, in the rooms that do. */
  private static Set<String> reasonsWritten() throws IOException {
    Set<String> reasons = new TreeSet<>();
    for (String room : List.of("worker", "delivery")) {
      try (Stream<Path> files = Files.list(SOURCES.resolve(room))) {
        for (Path file : files.toList()) {
          REASON.matcher(Files.readString(file)).results().forEach(m -> reasons.add(m.group(1)));
        }
      }
    }
    return reasons;
  }

  /** The cells of each row by the record's name. */
  private static Map<String, List<String>> rows() throws IOException {
    return Files.readAllLines(TABLE).stream()
        .filter(line -> line.matches("\\| `[A-Z].*"))
        .map(TelemetryTableTest::cells)
        .peek(cells -> assertThat(cells).hasSize(COLUMNS))
        .collect(Collectors.toMap(cells -> cells.get(0).replace("`", ""), cells -> cells));
  }

  private static List<String> cells(String line) {
    return Arrays.stream(line.substring(1).split("\\|")).map(String::strip).toList();
  }
}
