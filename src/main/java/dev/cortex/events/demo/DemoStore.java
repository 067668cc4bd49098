package dev.cortex.events.demo;

import dev.cortex.events.demo.DemoResult.EffectTally;
import dev.cortex.events.demo.DemoResult.EventTally;
import dev.cortex.events.demo.DemoResult.HandlerTally;
import java.sql.Array;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.List;

/** What the demo asks of the database: the views of the engine and of the fleet. */
final class DemoStore {
  /** Kept from run to run, as everything in this database. */
  private static final String PREPARE =
      """
      create schema if not exists demo;
      create table if not exists demo.effects (
        event_id text        not null,
        attempt  integer     not null,
        made_at  timestamptz not null default clock_timestamp()
      );
      """;

  /** One row: where this run stands. Parameter: its beginning. */
  private static final String PROGRESS =
      """
      select a.handled, a.dead, q.waiting, q.retrying,
             (select count(*) from fleet.workers w where w.health = 'stale') as silent
        from (select count(*) filter (where outcome = 'done') as handled,
                     count(*) filter (where outcome = 'dead') as dead
                from cortex.attempts
               where event_at >= ?) a,
             (select coalesce(sum(available + running), 0) as waiting,
                     coalesce(sum(retrying + scheduled), 0) as retrying
                from cortex.queue_status) q
      """;

  /**
   * A row per handler: the deliveries that there had to be, by its subscriptions, against the
   * attempts that the audit has of them. Parameter, thrice: beginning of the run.
   */
  private static final String HANDLERS =
      """
      with expected as (
        select l.id, h.handler, l.received_at
          from cortex.event_log l
          join cortex.handler_status h
            on exists (select from unnest(h.patterns) p(pattern) where cortex.type_matches(l.type, p.pattern))
         where l.received_at >= ?
           and not l.log_only
      ), audited as (
        select a.event, a.handler,
               count(*) filter (where a.outcome = 'done') as done,
               count(*) filter (where a.outcome in ('retry', 'crash')) as retried,
               count(*) filter (where a.outcome in ('cancel', 'expire')) as cancelled,
               count(*) filter (where a.outcome = 'dead') as dead,
               min(a.finished_at) filter (where a.outcome = 'done') as done_at
          from cortex.audit a
         where a.event_at >= ?
           and a.generation = 0
         group by a.event, a.handler
      ), open as (
        select d.event, d.handler, d.state from cortex.open_deliveries d where d.event_at >= ?
      )
      select e.handler,
             count(*) as delivered,
             count(*) filter (where a.done > 0) as handled,
             coalesce(sum(a.retried), 0) as retried,
             coalesce(sum(a.cancelled), 0) as cancelled,
             count(*) filter (where o.state = 'dead') as dead,
             count(*) filter (where o.event is null and coalesce(a.done + a.cancelled, 0) = 0) as lost,
             count(*) filter (where a.done > 1 or (a.done > 0 and (a.cancelled > 0 or o.event is not null)))
               as duplicated,
             count(*) filter (where o.state <> 'dead') as stuck,
             coalesce(percentile_cont(0.5) within group (order by extract(epoch from a.done_at - e.received_at)), 0)
               * 1000 as median_ms
        from expected e
        left join audited a on a.event = e.id and a.handler = e.handler
        left join open o on o.event = e.id and o.handler = e.handler
       group by e.handler
       order by e.handler
      """;

  /** Parameters: ids committed, ids rolled back, beginning, ids committed, beginning. */
  private static final String EVENTS =
      """
      select (select count(*)
                from unnest(?) c(event_id)
               where not exists (select from logged l where l.event_id = c.event_id)) as lost,
             (select count(*)
                from unnest(?) r(event_id)
               where exists (select from logged l where l.event_id = r.event_id)) as risen,
             (select count(*) from logged) - ? as caused
        from (select) one_row
      """;

  private static final String LOGGED =
      """
      with logged as materialized (
        select l.event_id from cortex.event_log l where l.received_at >= ? and not l.log_only)
      """;

  /** Parameters: the handler, beginning. */
  private static final String EFFECTS =
      """
      with done as (
        select a.event_id, count(*) filter (where a.outcome = 'done') as done
          from cortex.audit a
         where a.handler = ?
           and a.event_at >= ?
         group by a.event_id
      ), made as (
        select e.event_id, count(*) as effects from demo.effects e where e.made_at >= ? group by e.event_id
      )
      select coalesce(sum(m.effects), 0) as made,
             count(*) filter (where d.done > 0 and m.effects is null) as missing,
             count(*) filter (where m.effects > 1 or (m.effects > 0 and coalesce(d.done, 0) = 0)) as doubled
        from done d
        full join made m on m.event_id = d.event_id
      """;

  private final Connection connection;

  /**
   * @param connection in auto-commit
   */
  DemoStore(Connection connection) {
    this.connection = connection;
  }

  void prepare() throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute(PREPARE);
    }
  }

  OffsetDateTime now() throws SQLException {
    return one("select clock_timestamp()", row -> row.getObject(1, OffsetDateTime.class));
  }

  /** A day that has had no learning cycle yet, so that the demo can be run again. */
  String nextLearningDate() throws SQLException {
    return one(
        """
        select greatest(current_date, coalesce((select max(c.cycle_date) + 1 from fleet.learning_cycles c), current_date))
        """,
        row -> row.getString(1));
  }

  /** Sets how long a worker may be silent; how long it was until then. */
  Duration setStaleAfter(Duration staleAfter) throws SQLException {
    Duration before =
        one(
            "select extract(epoch from stale_after)::bigint from fleet.settings",
            row -> Duration.ofSeconds(row.getLong(1)));
    try (PreparedStatement statement =
        connection.prepareStatement(
            "update fleet.settings set stale_after = make_interval(secs => ?)")) {
      statement.setLong(1, staleAfter.toSeconds());
      statement.executeUpdate();
    }
    return before;
  }

  /** How many of these workers are at work. */
  long workersThatLive(List<String> names, OffsetDateTime since) throws SQLException {
    return one(
        """
        select count(distinct w.name)
          from cortex.workers w
         where w.stopped_at is null and w.started_at >= ? and w.name = any (?)
        """,
        row -> row.getLong(1),
        since,
        names);
  }

  /** The alert that told of a silent worker; empty if none did. */
  String staleAlert(OffsetDateTime since) throws SQLException {
    return one(
        """
        select coalesce(max(e.event_id), '')
          from fleet.system_events e
         where e.type = 'system.health_alert' and e.alert_type = 'stale_workers' and e.received_at >= ?
        """,
        row -> row.getString(1),
        since);
  }

  DemoProgress progress(OffsetDateTime since, Duration elapsed, long emitted, int workers)
      throws SQLException {
    return one(
        PROGRESS,
        row ->
            new DemoProgress(
                elapsed,
                emitted,
                row.getLong("handled"),
                row.getLong("waiting"),
                row.getLong("retrying"),
                row.getLong("dead"),
                workers,
                row.getLong("silent")),
        since);
  }

  List<HandlerTally> handlers(OffsetDateTime since) throws SQLException {
    List<HandlerTally> tallies = new ArrayList<>();
    try (PreparedStatement statement = bound(HANDLERS, since, since, since);
        ResultSet row = statement.executeQuery()) {
      while (row.next()) {
        tallies.add(
            new HandlerTally(
                row.getString("handler"),
                row.getLong("delivered"),
                row.getLong("handled"),
                row.getLong("retried"),
                row.getLong("cancelled"),
                row.getLong("dead"),
                row.getLong("lost"),
                row.getLong("duplicated"),
                row.getLong("stuck"),
                Math.round(row.getDouble("median_ms"))));
      }
    }
    return tallies;
  }

  EventTally events(OffsetDateTime since, Ledger ledger) throws SQLException {
    long emitted = ledger.committed().size();
    return one(
        LOGGED + EVENTS,
        row ->
            new EventTally(
                emitted,
                row.getLong("caused") + row.getLong("lost"),
                ledger.rolledBack().size(),
                row.getLong("lost"),
                row.getLong("risen")),
        since,
        ledger.committed(),
        ledger.rolledBack(),
        emitted);
  }

  EffectTally effects(OffsetDateTime since) throws SQLException {
    return one(
        EFFECTS,
        row -> new EffectTally(row.getLong("made"), row.getLong("missing"), row.getLong("doubled")),
        DemoHandlers.NAME,
        since,
        since);
  }

  private interface Reading<T> {
    T of(ResultSet row) throws SQLException;
  }

  private <T> T one(String sql, Reading<T> reading, Object... parameters) throws SQLException {
    try (PreparedStatement statement = bound(sql, parameters);
        ResultSet row = statement.executeQuery()) {
      row.next();
      return reading.of(row);
    }
  }

  private PreparedStatement bound(String sql, Object... parameters) throws SQLException {
    PreparedStatement statement = connection.prepareStatement(sql);
    for (int i = 0; i < parameters.length; i++) {
      if (parameters[i] instanceof List<?> texts) {
        Array array = connection.createArrayOf("text", texts.toArray());
        statement.setArray(i + 1, array);
      } else {
        statement.setObject(i + 1, parameters[i]);
      }
    }
    return statement;
  }
}
