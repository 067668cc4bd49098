package dev.cortex.events.bench;

import dev.cortex.events.database.ConnectionPool;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;

/** Emits a thousand rows per INSERT and commit. */
final class EmitBulk implements Workload {
  private static final int ROWS = 1_000;

  private static final String EMIT =
      """
      insert into cortex.events (type, source, payload)
      select 'bench.ping', 'bench', ?::jsonb from generate_series(1, ?)
      """;

  private static final String FLOOR =
      """
      insert into cortex_bench.events (type, source, payload)
      select 'bench.ping', 'bench', ?::jsonb from generate_series(1, ?)
      """;

  private final ConnectionPool pool;
  private final int events;

  EmitBulk(ConnectionPool pool, int events) {
    this.pool = pool;
    this.events = events;
  }

  @Override
  public String name() {
    return "emit, 1,000 rows per INSERT";
  }

  @Override
  public double floor() throws Exception {
    return Stopwatch.perSecond(events, () -> insert(pool, FLOOR, events));
  }

  @Override
  public double engine() throws Exception {
    return Stopwatch.perSecond(events, () -> emit(pool, events));
  }

  /** Emits this many events; also how a queue is filled. */
  static void emit(ConnectionPool pool, int events) throws SQLException {
    insert(pool, EMIT, events);
  }

  private static void insert(ConnectionPool pool, String sql, int events) throws SQLException {
    try (Connection connection = pool.connection();
        PreparedStatement statement = connection.prepareStatement(sql)) {
      for (int i = 0; i < events; i += ROWS) {
        statement.setString(1, EmitSingle.PAYLOAD);
        statement.setInt(2, Math.min(ROWS, events - i));
        statement.executeUpdate();
      }
    }
  }
}
