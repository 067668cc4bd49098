package dev.cortex.events.bench;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.ConnectionPool;
import dev.cortex.events.database.DatabaseAddress;
import dev.cortex.events.database.PoolOptions;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.telemetry.Telemetry;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.List;

/**
 * The database that is measured on, and what every workload needs of it: emptied, filled, with
 * subscribed handlers, and counted.
 */
final class Ground implements AutoCloseable {
  /** What emits at once, and what looks on. */
  private static final int CONNECTIONS = 6;

  /** As large as a usual event's: about 190 bytes. */
  static final String PAYLOAD =
      "{\"task_id\": \"task-4711\", \"worker_id\": \"worker-7\", \"duration_ms\": 1234, \"note\": \""
          + "x".repeat(110)
          + "\"}";

  /**
   * The log's table once more: same columns, defaults, checks, indexes and partitions, no trigger.
   */
  private static final String CREATE =
      """
      do $$
      declare
        v_partition text;
        v_bounds    text;
      begin
        create schema if not exists cortex_bench;
        create table cortex_bench.events (like cortex.events including all) partition by range (received_at);
        for v_partition, v_bounds in
          select c.relname, pg_get_expr(c.relpartbound, c.oid)
            from pg_inherits i
            join pg_class c on c.oid = i.inhrelid
           where i.inhparent = 'cortex.events'::regclass
        loop
          execute format('create table cortex_bench.%I partition of cortex_bench.events %s', v_partition, v_bounds);
        end loop;
        create table cortex_bench.effects (event_id text not null);
        create table cortex_bench.counters (id integer primary key, handled bigint not null);
        insert into cortex.event_types (type, description)
        select 'bench.' || word, 'What the benchmark emits.'
          from unnest(array['ping', 'two', 'five', 'past', 'idle', 'a', 'b', 'c']) as word;
      end
      $$
      """;

  private static final String EMPTY =
      """
      truncate cortex.deliveries, cortex.events, cortex_bench.events, cortex_bench.effects, cortex_bench.counters;
      insert into cortex_bench.counters select i, 0 from generate_series(0, 49) as i
      """;

  private static final String FILL =
      """
      insert into cortex.events (type, source, payload)
      select ?, 'bench', ?::jsonb from generate_series(1, ?)
      """;

  private static final int ROWS_PER_INSERT = 1_000;

  private final DatabaseAddress address;
  private final BenchOptions options;
  private final ConnectionPool pool;

  private Ground(DatabaseAddress address, BenchOptions options, ConnectionPool pool) {
    this.address = address;
    this.options = options;
    this.pool = pool;
  }

  /**
   * Takes a database for itself.
   *
   * @throws IllegalStateException when it holds events: they would be in the way, and the benchmark
   *     in theirs
   */
  static Ground open(DatabaseAddress address, BenchOptions options) throws Exception {
    ConnectionPool pool = ConnectionPool.open(address, PoolOptions.of("cortex-bench", CONNECTIONS));
    Ground ground = new Ground(address, options, pool);
    try {
      if (ground.count("select count(*) from (select from cortex.events limit 1) e") > 0) {
        throw new IllegalStateException("the database must hold no events: name an empty one");
      }
      ground.execute(CREATE);
      ground.subscribe(BenchHandlers.fanOut());
      return ground;
    } catch (Exception e) {
      pool.close();
      throw e;
    }
  }

  private void subscribe(List<HandlerDefinition> handlers) throws Exception {
    try (CortexEvents cortex = CortexEvents.connect(address).withTelemetry(Telemetry.silent())) {
      cortex.work(handlers).close();
    }
  }

  BenchOptions options() {
    return options;
  }

  ConnectionPool pool() {
    return pool;
  }

  ServerMeter meter() {
    return new ServerMeter(pool);
  }

  Race race() {
    return new Race(meter(), options.rounds());
  }

  /** Nothing in the log, in the queue or in the effects; the audit stays, as it must. */
  void empty() throws SQLException {
    execute(EMPTY);
  }

  /** Emits events in bulk. */
  void fill(String type, int events) throws SQLException {
    try (Connection connection = pool.connection();
        PreparedStatement statement = connection.prepareStatement(FILL)) {
      for (int i = 0; i < events; i += ROWS_PER_INSERT) {
        statement.setString(1, type);
        statement.setString(2, PAYLOAD);
        statement.setInt(3, Math.min(ROWS_PER_INSERT, events - i));
        statement.executeUpdate();
      }
    }
  }

  /** A queue of exactly these, with statistics, as one that is in use has. */
  void refill(int events) throws SQLException {
    empty();
    fill("bench.ping", events);
    execute("vacuum analyze cortex.deliveries");
  }

  /** Deliveries that nobody has finished. */
  long unfinished() throws SQLException {
    return count("select count(*) from cortex.deliveries");
  }

  void execute(String sql) throws SQLException {
    try (Connection connection = pool.connection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  /** The one number of a question. */
  long count(String sql) throws SQLException {
    try (Connection connection = pool.connection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(sql)) {
      row.next();
      return row.getLong(1);
    }
  }

  @Override
  public void close() {
    pool.close();
  }
}
