package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.OutputStreamWriter;
import java.io.Writer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.zip.GZIPOutputStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/**
 * A file that is far larger than the heap, in a process of its own with {@code -Xmx64m}; killed and
 * run again. {@code -Dcortex.import.megabytes=1024} makes it as large as one likes.
 */
@ExtendWith(PostgresExtension.class)
@Timeout(3_600)
class LargeImportTest {
  private static final long MEGABYTES = Long.getLong("cortex.import.megabytes", 96);
  private static final ObjectMapper JSON = new ObjectMapper();

  private final TestDatabase database;
  @TempDir private Path directory;

  LargeImportTest(TestDatabase database) {
    this.database = database;
  }

  @Test
  void a_file_larger_than_the_heap_is_imported_and_after_a_kill_the_rest_of_it() throws Exception {
    Path file = directory.resolve("large.jsonl.gz");
    long events = write(file);
    TestCommandLine cortex = TestCommandLine.on(database);

    Process killed = start(cortex, directory.resolve("killed"), file);
    await()
        .atMost(Duration.ofMinutes(10))
        .until(() -> !killed.isAlive() || recorded() >= events / 10);
    assertThat(killed.isAlive()).isTrue();
    killed.destroyForcibly().waitFor();
    long before = recorded();

    JsonNode rest = imported(cortex, file, "rest");
    assertThat(rest.get("read").longValue()).isEqualTo(events);
    assertThat(rest.get("duplicate").longValue()).isGreaterThanOrEqualTo(before);
    assertThat(recorded()).isEqualTo(events);

    JsonNode again = imported(cortex, file, "again");
    assertThat(again.get("duplicate").longValue()).isEqualTo(events);
    assertThat(recorded()).isEqualTo(events);
  }

  private JsonNode imported(TestCommandLine cortex, Path file, String name) throws Exception {
    Path output = directory.resolve(name);
    long start = System.nanoTime();
    assertThat(start(cortex, output, file).waitFor()).as(() -> text(output)).isZero();
    System.out.printf("import, %s: %d ms%n", name, (System.nanoTime() - start) / 1_000_000);
    return JSON.readTree(text(output));
  }

  private static String text(Path file) {
    try {
      return Files.readString(file);
    } catch (IOException e) {
      return e.toString();
    }
  }

  private static Process start(TestCommandLine cortex, Path output, Path file) throws IOException {
    return cortex.startWithHeap("64m", output, "import", "--json", file.toString());
  }

  /** Returns how many events it has. */
  private static long write(Path file) throws IOException {
    String filler = "x".repeat(900);
    long events = 0;
    try (Writer out =
        new BufferedWriter(
            new OutputStreamWriter(
                new GZIPOutputStream(Files.newOutputStream(file)), StandardCharsets.UTF_8))) {
      for (long bytes = 0; bytes < MEGABYTES * 1024 * 1024; events++) {
        String line =
            """
            {"event_id": "evt_20251201_165420_n%d", "event_type": "worker.heartbeat", "source": "w-1", \
            "timestamp": "2025-12-01T22:54:20+0000", "payload": {"n": %d, "filler": "%s"}}
            """
                .formatted(events, events, filler);
        out.write(line);
        bytes += line.length();
      }
    }
    return events;
  }

  private long recorded() throws SQLException {
    try (Connection connection = database.superuserAddress().dataSource().getConnection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery("select count(*) from cortex.events")) {
      row.next();
      return row.getLong(1);
    }
  }
}
