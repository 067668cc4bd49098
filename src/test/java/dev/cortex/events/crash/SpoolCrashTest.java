package dev.cortex.events.crash;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.spool.Postbox;
import dev.cortex.events.spool.Spool;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/**
 * Processes that write to a spool or drain it are killed; what they said was durable is there once.
 */
@ExtendWith(PostgresExtension.class)
class SpoolCrashTest {
  private static final int ROUNDS = Integer.getInteger("cortex.test.spool.kills", 12);

  /** What a drain commits at a time. */
  private static final int BATCH = 500;

  private final TestDatabase database;

  SpoolCrashTest(TestDatabase database) {
    this.database = database;
  }

  @BeforeEach
  void empty() throws SQLException {
    execute("insert into cortex.event_types (type) values ('spool.posted') on conflict do nothing");
    execute("delete from cortex.events");
    execute("delete from cortex.dedupe_keys");
  }

  @Test
  void a_writer_killed_in_the_middle_of_an_append_loses_and_doubles_nothing(@TempDir Path parent)
      throws Exception {
    Path directory = parent.resolve("spool");
    Random random = new Random(1);
    List<String> said = new ArrayList<>();
    for (int round = 0; round < ROUNDS; round++) {
      Process writer =
          WorkerProcess.jvm(
                  SpoolProcess.class,
                  "post",
                  directory.toString(),
                  Integer.toString(round * 100_000))
              .start();
      try (BufferedReader ids = writer.inputReader(StandardCharsets.UTF_8)) {
        int last = 1 + random.nextInt(200);
        for (int n = 0; n < last; n++) {
          said.add(ids.readLine());
        }
        kill(writer);
        ids.lines().filter(id -> id.length() == said.get(0).length()).forEach(said::add);
      }
      writer.onExit().join();
      if (round % 3 == 0) {
        tear(directory, random);
      }
    }
    age(directory);
    drain(directory);
    assertThat(strings("select event_id from cortex.events"))
        .doesNotHaveDuplicates()
        .containsAll(said);
    assertThat(strings("select payload ->> 'n' from cortex.events")).doesNotHaveDuplicates();
  }

  /** By its handle: the process's own method closes its output, and what it said with it. */
  private static void kill(Process process) {
    process.toHandle().destroyForcibly();
  }

  /** As if the last write of the newest file had only begun: half of one more line. */
  private static void tear(Path directory, Random random) throws IOException {
    try (Stream<Path> files = Files.list(directory)) {
      Path file =
          files.filter(one -> one.toString().endsWith(".jsonl")).max(Path::compareTo).orElseThrow();
      String line = Files.readAllLines(file).get(0);
      Files.writeString(
          file,
          line.substring(0, 1 + random.nextInt(line.length() - 1)),
          java.nio.file.StandardOpenOption.APPEND);
    }
  }

  /** As if the writers had been still for a while. */
  private static void age(Path directory) throws IOException {
    try (Stream<Path> files = Files.list(directory)) {
      for (Path file : files.toList()) {
        Files.setLastModifiedTime(file, FileTime.from(Instant.now().minus(Duration.ofMinutes(1))));
      }
    }
  }

  @Test
  void a_drain_killed_between_a_commit_and_the_removal_of_the_file_doubles_nothing(
      @TempDir Path parent) throws Exception {
    Path directory = parent.resolve("spool");
    List<EventDraft> drafts = new ArrayList<>();
    for (int n = 0; n < BATCH + 1; n++) {
      drafts.add(EventDraft.of("spool.posted", "java").withPayload("{\"n\": " + n + "}"));
    }
    List<String> ids =
        Postbox.away(Spool.at(directory)).postAll(drafts).stream()
            .map(one -> one.eventId())
            .toList();
    // The last event of the file waits for another emitter of its id, so the drain stands still
    // with
    // its first batch committed and the file there.
    try (Connection rival = database.superuserAddress().dataSource().getConnection();
        Statement statement = rival.createStatement()) {
      rival.setAutoCommit(false);
      statement.execute(
          "insert into cortex.dedupe_keys (scope, key, event, event_at) values ('event_id', '%s', 0, now())"
              .formatted(ids.get(BATCH)));
      Process drain =
          WorkerProcess.jvm(
                  SpoolProcess.class,
                  "drain",
                  directory.toString(),
                  WorkerProcess.url(database.address("cortex_emitter")))
              .start();
      await()
          .atMost(Duration.ofMinutes(1))
          .until(() -> strings("select id from cortex.events").size() == BATCH);
      drain.destroyForcibly().onExit().join();
      rival.rollback();
    }
    assertThat(Spool.at(directory).status().events()).isEqualTo(BATCH + 1);
    drain(directory);
    assertThat(strings("select event_id from cortex.events order by id")).isEqualTo(ids);
  }

  @Test
  void drains_and_writers_of_one_directory_disturb_nobody(@TempDir Path parent) throws Exception {
    Path directory = parent.resolve("spool");
    String url = WorkerProcess.url(database.address("cortex_emitter"));
    List<Process> writers = new ArrayList<>();
    List<BufferedReader> outputs = new ArrayList<>();
    for (int n = 0; n < 3; n++) {
      Process writer =
          WorkerProcess.jvm(
                  SpoolProcess.class, "post", directory.toString(), Integer.toString(n * 1_000_000))
              .start();
      writers.add(writer);
      outputs.add(writer.inputReader(StandardCharsets.UTF_8));
    }
    List<String> said = new ArrayList<>();
    for (int round = 0; round < 4; round++) {
      for (BufferedReader output : outputs) {
        for (int n = 0; n < 50; n++) {
          said.add(output.readLine());
        }
      }
      Process killed =
          WorkerProcess.jvm(SpoolProcess.class, "drain", directory.toString(), url).start();
      Process other =
          WorkerProcess.jvm(SpoolProcess.class, "drain", directory.toString(), url).start();
      killed.inputReader(StandardCharsets.UTF_8).readLine();
      other.inputReader(StandardCharsets.UTF_8).readLine();
      killed.destroyForcibly().onExit().join();
      other.destroyForcibly().onExit().join();
    }
    writers.forEach(SpoolCrashTest::kill);
    for (int n = 0; n < writers.size(); n++) {
      outputs.get(n).lines().filter(id -> id.length() == said.get(0).length()).forEach(said::add);
      writers.get(n).onExit().join();
    }
    age(directory);
    drain(directory);
    assertThat(strings("select event_id from cortex.events"))
        .doesNotHaveDuplicates()
        .containsAll(said);
    assertThat(strings("select payload ->> 'n' from cortex.events")).doesNotHaveDuplicates();
  }

  private void drain(Path directory) throws SQLException {
    try (Connection connection = database.address("cortex_emitter").dataSource().getConnection()) {
      Spool.at(directory).drain(connection);
    }
    assertThat(Spool.at(directory).isEmpty()).isTrue();
  }

  private void execute(String statement) throws SQLException {
    try (Connection connection = database.superuserAddress().dataSource().getConnection();
        Statement run = connection.createStatement()) {
      run.execute(statement);
    }
  }

  private List<String> strings(String query) throws SQLException {
    List<String> strings = new ArrayList<>();
    try (Connection connection = database.superuserAddress().dataSource().getConnection();
        Statement statement = connection.createStatement();
        ResultSet rows = statement.executeQuery(query)) {
      while (rows.next()) {
        strings.add(rows.getString(1));
      }
    }
    return strings;
  }
}
