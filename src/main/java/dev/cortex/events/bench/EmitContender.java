package dev.cortex.events.bench;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;

/**
 * Inserts events, a commit for each statement.
 *
 * @param sql takes the type and the payload, and the number of rows where it inserts several
 * @param rows how many a statement inserts
 * @param connections how many insert at once
 */
record EmitContender(String name, Ground ground, String sql, String type, int rows, int connections)
    implements Contender {

  private static final String EMIT_ONE =
      "insert into cortex.events (type, source, payload) values (?, 'bench', ?::jsonb)";
  private static final String FLOOR_ONE =
      "insert into cortex_bench.events (type, source, payload) values (?, 'bench', ?::jsonb)";

  private static final String EMIT_MANY =
      """
      insert into cortex.events (type, source, payload)
      select ?, 'bench', ?::jsonb from generate_series(1, ?)
      """;

  private static final String FLOOR_MANY =
      """
      insert into cortex_bench.events (type, source, payload)
      select ?, 'bench', ?::jsonb from generate_series(1, ?)
      """;

  private static final int CONNECTIONS = 4;
  private static final int ROWS = 1_000;

  /** One row per commit on several connections: what most emitters do. */
  static List<Contender> single(Ground ground) {
    return List.of(
        new EmitContender("floor", ground, FLOOR_ONE, "bench.ping", 1, CONNECTIONS),
        new EmitContender("cortex", ground, EMIT_ONE, "bench.ping", 1, CONNECTIONS));
  }

  /** A thousand rows per statement, to one, two and five handlers. */
  static List<Contender> bulk(Ground ground) {
    return List.of(
        new EmitContender("floor", ground, FLOOR_MANY, "bench.ping", ROWS, 1),
        new EmitContender("cortex", ground, EMIT_MANY, "bench.ping", ROWS, 1),
        new EmitContender("cortex, fan-out 2", ground, EMIT_MANY, "bench.two", ROWS, 1),
        new EmitContender("cortex, fan-out 5", ground, EMIT_MANY, "bench.five", ROWS, 1));
  }

  @Override
  public void prepare(int events) throws SQLException {
    ground.empty();
  }

  @Override
  public void run(int events) throws Exception {
    ExecutorService threads = Executors.newFixedThreadPool(connections);
    try {
      List<Future<?>> running = new ArrayList<>();
      for (int i = 0; i < connections; i++) {
        int share = events / connections + (i < events % connections ? 1 : 0);
        running.add(threads.submit(() -> insert(share)));
      }
      for (Future<?> one : running) {
        one.get();
      }
    } finally {
      threads.shutdownNow();
    }
  }

  private Void insert(int events) throws SQLException {
    try (Connection connection = ground.pool().connection();
        PreparedStatement statement = connection.prepareStatement(sql)) {
      for (int i = 0; i < events; i += rows) {
        statement.setString(1, type);
        statement.setString(2, Ground.PAYLOAD);
        if (rows > 1) {
          statement.setInt(3, Math.min(rows, events - i));
        }
        statement.executeUpdate();
      }
    }
    return null;
  }
}
