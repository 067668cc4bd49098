package dev.cortex.events.cli;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.Json;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/** {@code cortex events --follow}, a process of its own, beside transactions that overlap. */
@ExtendWith(PostgresExtension.class)
class FollowedLogTest {
  private final TestDatabase database;
  @TempDir private Path directory;

  FollowedLogTest(TestDatabase database) {
    this.database = database;
  }

  @Test
  void every_event_is_printed_once_whatever_order_their_transactions_commit_in() throws Exception {
    TestCommandLine cortex = TestCommandLine.on(database);
    Path output = directory.resolve("followed.jsonl");
    try (Connection late = open();
        Connection first = open();
        Connection second = open();
        Connection undone = open()) {
      emit(first, "known");
      first.commit();
      emit(late, "before");
      Process follower =
          cortex.start(
              Map.of(), output, "events", "--follow", "--source", "w-followed", "--since", "1h");
      try {
        awaitLines(output, 1);
        emit(late, "late");
        emit(first, "a");
        emit(second, "b");
        emit(undone, "never");
        emit(first, "c");
        second.commit();
        awaitLines(output, 2);
        undone.rollback();
        emit(second, "d");
        first.commit();
        awaitLines(output, 4);
        late.commit();
        awaitLines(output, 6);
        second.commit();
        awaitLines(output, 7);
      } finally {
        follower.destroy();
        follower.waitFor();
      }
    }
    assertThat(Files.readAllLines(output))
        .map(line -> Json.parse("line", line).tree().at("/payload/name").textValue())
        .containsExactlyInAnyOrder("known", "before", "late", "a", "b", "c", "d");
  }

  private static void awaitLines(Path output, int lines) {
    await()
        .atMost(Duration.ofSeconds(60))
        .until(() -> Files.exists(output) && Files.readAllLines(output).size() >= lines);
  }

  private Connection open() throws SQLException {
    Connection connection = database.connection();
    connection.setAutoCommit(false);
    return connection;
  }

  private static void emit(Connection connection, String name) throws SQLException {
    try (Statement statement = connection.createStatement();
        ResultSet row =
            statement.executeQuery(
                "select cortex.emit('worker.heartbeat', 'w-followed', jsonb_build_object('name', '"
                    + name
                    + "'))")) {
      assertThat(row.next()).isTrue();
    }
  }
}
