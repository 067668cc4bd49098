package dev.cortex.events.crash;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.DatabaseAddress;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Order;
import dev.cortex.events.telemetry.Telemetry;
import dev.cortex.events.worker.WorkerOptions;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.List;

/**
 * A worker of one limited handler, in a JVM of its own. Of each batch it writes, on a connection
 * beside, when it began and when it ended: so a batch that dies is seen too.
 */
final class LimitedWorker {
  static final String TYPE = "limit.load";
  static final String HANDLER = "limited";

  static final String SETUP =
      """
      set session_replication_role = replica;
      truncate cortex.events, cortex.deliveries, cortex.attempts, cortex.workers, cortex.slots, cortex.handlers,
               cortex.subscriptions, cortex.routes, cortex.lanes, cortex.blocked_keys, cortex.handler_places,
               cortex.schedules, cortex.fires, cortex.backfills, cortex.former_handler_names,
               cortex.implementations;
      set session_replication_role = origin;
      insert into cortex.event_types (type) values ('limit.load') on conflict do nothing;
      drop table if exists limit_runs;
      create table limit_runs (
        id bigint generated always as identity primary key, worker text not null,
        started_at timestamptz not null default clock_timestamp(), ended_at timestamptz);
      grant all on limit_runs to public;
      """;

  private LimitedWorker() {}

  static HandlerDefinition handler(DatabaseAddress beside, String worker, int limit) {
    return HandlerDefinition.batch(
            HANDLER,
            (events, context) -> {
              try (Connection connection = beside.dataSource().getConnection()) {
                long run = begin(connection, worker);
                try (PreparedStatement work =
                    context.connection().prepareStatement("select pg_sleep(0.01)")) {
                  work.execute();
                }
                end(connection, run);
              }
            })
        .on(TYPE)
        .withMaxBatch(5)
        .withMaxRunning(limit);
  }

  /** Arguments: URL, name, limit, and whether it is ordered. Works until its input ends. */
  public static void main(String[] arguments) throws Exception {
    HandlerDefinition handler =
        handler(DatabaseAddress.of(arguments[0]), arguments[1], Integer.parseInt(arguments[2]));
    try (CortexEvents cortex =
        CortexEvents.connect(arguments[0]).withTelemetry(Telemetry.silent())) {
      cortex.work(
          List.of(
              arguments[3].equals("ordered")
                  ? handler.ordered(Order.byKey().withLanes(8))
                  : handler),
          WorkerOptions.defaults().withName(arguments[1]).withSlots(3));
      while (System.in.read() >= 0) {
        // Nobody says anything.
      }
    }
  }

  private static long begin(Connection connection, String worker) throws SQLException {
    try (PreparedStatement insert =
        connection.prepareStatement("insert into limit_runs (worker) values (?) returning id")) {
      insert.setString(1, worker);
      try (ResultSet row = insert.executeQuery()) {
        row.next();
        return row.getLong(1);
      }
    }
  }

  private static void end(Connection connection, long run) throws SQLException {
    try (PreparedStatement update =
        connection.prepareStatement(
            "update limit_runs set ended_at = clock_timestamp() where id = ?")) {
      update.setLong(1, run);
      update.executeUpdate();
    }
  }
}
