package dev.cortex.events.bench;

import dev.cortex.events.database.ConnectionPool;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;

/**
 * The log's table once more: same columns, defaults, checks, indexes and partitions, no trigger.
 */
final class EmitFloor {
  private static final String CREATE =
      """
      do $$
      declare
        v_partition text;
        v_bounds    text;
      begin
        create schema if not exists cortex_bench;
        drop table if exists cortex_bench.events;
        create table cortex_bench.events (like cortex.events including all) partition by range (received_at);
        for v_partition, v_bounds in
          select c.relname, pg_get_expr(c.relpartbound, c.oid)
            from pg_inherits i
            join pg_class c on c.oid = i.inhrelid
           where i.inhparent = 'cortex.events'::regclass
        loop
          execute format('create table cortex_bench.%I partition of cortex_bench.events %s', v_partition, v_bounds);
        end loop;
        create table if not exists cortex_bench.effects (event_id text not null);
        insert into cortex.event_types (type, description)
        values ('bench.ping', 'What the benchmark emits.')
            on conflict do nothing;
      end
      $$
      """;

  private EmitFloor() {}

  static void create(ConnectionPool pool) throws SQLException {
    try (Connection connection = pool.connection();
        Statement statement = connection.createStatement()) {
      statement.execute(CREATE);
    }
  }
}
