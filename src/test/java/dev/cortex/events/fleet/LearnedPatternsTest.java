package dev.cortex.events.fleet;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Json;
import dev.cortex.events.event.Priority;
import dev.cortex.events.handler.BatchContext;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

@ExtendWith(PostgresExtension.class)
class LearnedPatternsTest {
  private final TestDatabase database;
  private final TestFleet fleet;

  LearnedPatternsTest(TestDatabase database) {
    this.database = database;
    this.fleet = new TestFleet(database);
  }

  /**
   * The first batch is stopped between its types and its statistics, by whoever holds the row of
   * its master; the second one is let in, and may commit only when the first is done or waits.
   */
  @Test
  void interleaving_9_two_batches_at_once_leave_the_model_that_both_their_patterns_make()
      throws Exception {
    fleet.run("insert into fleet.routing_models (task_type) values ('build')");
    fleet.run("insert into fleet.routing_statistics values ('build', 'other', 0, 0, 0, 0)");
    try (Connection gate = transaction();
        Connection first = transaction();
        Connection second = transaction()) {
      try (Statement statement = gate.createStatement()) {
        statement.execute("select from fleet.routing_statistics for update");
      }
      CompletableFuture<Void> other = handling(first, pattern("evt_20251201_000000_a", "other", 3));
      CompletableFuture<Void> otherIsKept = other.thenRun(() -> commit(first));
      await().until(() -> waiting() == 1);
      CompletableFuture<Void> better =
          handling(second, pattern("evt_20251201_000000_b", "better", 9));
      await().until(() -> better.isDone() || waiting() == 2);
      gate.commit();
      await().until(() -> otherIsKept.isDone() || (better.isDone() && waiting() == 1));
      better.join();
      commit(second);
      otherIsKept.join();
    }

    assertThat(fleet.rows("select master from fleet.routing_models where task_type = 'build'"))
        .containsExactly("better");
  }

  private Connection transaction() throws SQLException {
    Connection connection = database.connection();
    connection.setAutoCommit(false);
    return connection;
  }

  private static CompletableFuture<Void> handling(Connection connection, Event event) {
    return CompletableFuture.runAsync(() -> handle(connection, event));
  }

  private static void commit(Connection connection) {
    try {
      connection.commit();
    } catch (SQLException e) {
      throw new IllegalStateException(e);
    }
  }

  /** How many transactions wait for another one's row. */
  private int waiting() throws SQLException {
    return fleet
        .rows(
            "select pid from pg_locks where not granted and locktype in ('transactionid', 'tuple')")
        .size();
  }

  private static void handle(Connection connection, Event event) {
    try {
      new LearnedPatterns().handle(List.of(event), new Silent(connection));
    } catch (SQLException e) {
      throw new IllegalStateException(e);
    }
  }

  private static Event pattern(String id, String master, int successes) {
    Instant now = Instant.now();
    return new Event(
        id,
        "learning.pattern_detected",
        "test",
        now,
        now,
        Priority.MEDIUM,
        Optional.empty(),
        Optional.empty(),
        0,
        Optional.empty(),
        Json.parse(
            "payload",
            "{\"task_type\": \"build\", \"master\": \"%s\", \"successes\": %d}"
                .formatted(master, successes)),
        Json.empty());
  }

  /** A batch whose emitted events nobody is told of. */
  private record Silent(Connection connection) implements BatchContext {
    @Override
    public String emit(EventDraft draft, Event cause) {
      return cause.id();
    }

    @Override
    public boolean isLost(Event event) {
      return false;
    }

    @Override
    public int attempt(Event event) {
      return 1;
    }

    @Override
    public int generation(Event event) {
      return 0;
    }
  }
}
