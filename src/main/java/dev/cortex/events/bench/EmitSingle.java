package dev.cortex.events.bench;

import dev.cortex.events.database.ConnectionPool;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/** Emits one row per commit on several connections: what most emitters do. */
final class EmitSingle implements Workload {
  static final String PAYLOAD =
      "{\"task_id\": \"task-4711\", \"worker_id\": \"worker-7\", \"duration_ms\": 1234, \"note\": \""
          + "x".repeat(110)
          + "\"}";

  private static final String EMIT =
      "insert into cortex.events (type, source, payload) values ('bench.ping', 'bench', ?::jsonb)";
  private static final String FLOOR =
      "insert into cortex_bench.events (type, source, payload) values ('bench.ping', 'bench', ?::jsonb)";

  private final ConnectionPool pool;
  private final int events;
  private final int connections;

  EmitSingle(ConnectionPool pool, int events, int connections) {
    this.pool = pool;
    this.events = events;
    this.connections = connections;
  }

  @Override
  public String name() {
    return "emit, one row per commit, " + connections + " connections";
  }

  @Override
  public double floor() throws Exception {
    return insert(FLOOR);
  }

  @Override
  public double engine() throws Exception {
    return insert(EMIT);
  }

  private double insert(String sql) throws Exception {
    ExecutorService threads = Executors.newFixedThreadPool(connections);
    try {
      return Stopwatch.perSecond(
          events,
          () -> {
            List<Future<?>> running = new ArrayList<>();
            for (int i = 0; i < connections; i++) {
              running.add(threads.submit(() -> insertSome(sql, events / connections)));
            }
            for (Future<?> one : running) {
              one.get();
            }
          });
    } finally {
      threads.shutdownNow();
    }
  }

  private Void insertSome(String sql, int count) throws Exception {
    try (Connection connection = pool.connection();
        PreparedStatement statement = connection.prepareStatement(sql)) {
      for (int i = 0; i < count; i++) {
        statement.setString(1, PAYLOAD);
        statement.executeUpdate();
      }
    }
    return null;
  }
}
