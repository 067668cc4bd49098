package dev.cortex.events.crash;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.DedicatedPostgres;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.outbox.Outbox;
import dev.cortex.events.telemetry.Telemetry;
import dev.cortex.events.worker.Worker;
import dev.cortex.events.worker.WorkerOptions;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** A worker survives whatever its database goes through, in the middle of commits, without help. */
@ExtendWith(PostgresExtension.class)
class DatabaseCrashTest {
  private static final Duration PATIENCE = Duration.ofMinutes(2);
  private static final int EVENTS_BETWEEN = 300;

  private final DedicatedPostgres postgres;
  private final Set<Integer> committed = ConcurrentHashMap.newKeySet();
  private final Set<Integer> inDoubt = ConcurrentHashMap.newKeySet();
  private final AtomicInteger next = new AtomicInteger();

  DatabaseCrashTest(DedicatedPostgres postgres) {
    this.postgres = postgres;
  }

  @Test
  void a_worker_survives_restarts_immediate_stops_and_kills_of_the_server() throws Exception {
    run("insert into cortex.event_types (type) values ('crash.happened')");
    run(
        "select cortex.register_handler('crash-each', 'transactional', 20::smallint, '30 s', array['crash.happened'])");
    run(CrashAudit.SCHEMA);
    AtomicBoolean isOver = new AtomicBoolean();
    Thread emitter = new Thread(() -> emitUntil(isOver));
    try (CortexEvents cortex =
        CortexEvents.connect(postgres.database().address()).withTelemetry(Telemetry.silent())) {
      Worker worker = cortex.work(List.of(handler()), WorkerOptions.defaults());
      emitter.start();
      awaitMore();
      postgres.restart(DedicatedPostgres.Shutdown.FAST);
      awaitMore();
      postgres.restart(DedicatedPostgres.Shutdown.IMMEDIATE);
      awaitMore();
      postgres.crash();
      awaitMore();
      postgres.stop();
      postgres.startAgain();
      awaitMore();
      isOver.set(true);
      emitter.join();
      await()
          .atMost(PATIENCE)
          .ignoreExceptions()
          .until(() -> count("select count(*) from cortex.deliveries") == 0);
      assertThat(worker.workerId()).isPositive();
    }
    load();
    try (Connection connection = postgres.database().connection()) {
      assertThat(CrashAudit.broken(connection)).isEmpty();
    }
    assertThat(count("select count(*) from cortex.attempts where outcome <> 'done'"))
        .as("attempts charged to events for the database's faults")
        .isZero();
  }

  private HandlerDefinition handler() {
    return HandlerDefinition.oneByOne(
            "crash-each",
            (event, context) -> {
              try (PreparedStatement insert =
                  context
                      .connection()
                      .prepareStatement(
                          "insert into crash_effects (handler, n, event_id) values ('crash-each', ?, ?)")) {
                insert.setInt(1, CrashWorker.n(event));
                insert.setString(2, event.id());
                insert.executeUpdate();
              }
              return Outcome.done();
            })
        .on("crash.happened");
  }

  private void emitUntil(AtomicBoolean isOver) {
    Outbox outbox = new Outbox();
    while (!isOver.get()) {
      int n = next.getAndIncrement();
      boolean asked = false;
      try (Connection connection = postgres.database().connection()) {
        connection.setAutoCommit(false);
        outbox.emit(
            connection, EventDraft.of("crash.happened", "test").withPayload("{\"n\": " + n + "}"));
        asked = true;
        connection.commit();
        committed.add(n);
      } catch (SQLException | RuntimeException e) {
        if (asked) {
          inDoubt.add(n);
        }
      }
    }
  }

  private void awaitMore() {
    int enough = committed.size() + EVENTS_BETWEEN;
    await()
        .atMost(PATIENCE)
        .ignoreExceptions()
        .until(
            () ->
                committed.size() >= enough
                    && count("select count(*) from crash_effects") >= enough);
  }

  /** An emitter in doubt learns what became of its event by looking: it is there once, or not. */
  private void load() throws SQLException {
    try (Connection connection = postgres.database().connection();
        PreparedStatement insert =
            connection.prepareStatement("insert into crash_oracle (n, verdict) values (?, ?)")) {
      for (int n = 0; n < next.get(); n++) {
        insert.setInt(1, n);
        insert.setString(
            2,
            committed.contains(n) ? "committed" : inDoubt.contains(n) ? "in_doubt" : "rolled_back");
        insert.addBatch();
      }
      insert.executeBatch();
    }
  }

  private void run(String sql) throws SQLException {
    try (Connection connection = postgres.database().connection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private long count(String sql) throws SQLException {
    try (Connection connection = postgres.database().connection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(sql)) {
      row.next();
      return row.getLong(1);
    }
  }
}
