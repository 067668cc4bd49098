package dev.cortex.events.demo;

import dev.cortex.events.demo.DemoResult.AlertTally;
import dev.cortex.events.demo.DemoResult.ChoreTally;
import dev.cortex.events.demo.DemoResult.EffectTally;
import dev.cortex.events.demo.DemoResult.EventTally;
import dev.cortex.events.demo.DemoResult.HandlerTally;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.time.OffsetDateTime;
import java.util.List;
import java.util.Optional;

/** What the demo asks of the database: the views of the engine and of the fleet. */
final class DemoStore {
  /**
   * At most one row: a table that others made, in a database that is not the demo's. One is the
   * demo's from {@link #PREPARE} on.
   */
  private static final String FOREIGN_TABLE =
      """
      select n.nspname || '.' || c.relname
        from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
       where to_regclass('demo.effects') is null
         and c.relkind in ('r', 'p', 'f', 'm')
         and n.nspname <> 'information_schema'
         and n.nspname not like 'pg\\_%'
       order by c.oid
       limit 1
      """;

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

  /**
   * The effects of this run's events only: what a run that was killed has left is handled in the
   * next one. Parameters: the handler, beginning, twice.
   */
  private static final String EFFECTS =
      """
      with done as (
        select a.event_id, count(*) filter (where a.outcome = 'done') as done
          from cortex.audit a
         where a.handler = ?
           and a.event_at >= ?
         group by a.event_id
      ), made as (
        select e.event_id, count(*) as effects
          from demo.effects e
         where e.event_id in (select l.event_id from cortex.event_log l where l.received_at >= ?)
         group by e.event_id
      )
      select coalesce(sum(m.effects), 0) as made,
             count(*) filter (where d.done > 0 and m.effects is null) as missing,
             count(*) filter (where m.effects > 1 or (m.effects > 0 and coalesce(d.done, 0) = 0)) as doubled
        from done d
        full join made m on m.event_id = d.event_id
      """;

  /**
   * The deliveries of counted effects that a worker is in the middle of. A slot is shown a little
   * longer than its batch lasts; of one that has ended, something is done. Parameters: the worker,
   * beginning, the handler, twice.
   */
  private static final String IN_HANDS =
      """
      select coalesce(sum(cardinality(s.events)), 0)
        from cortex.slots s
        join cortex.workers w on w.worker_id = s.worker_id
        join cortex.handlers h on h.handler_id = s.handler_id
       where w.name = ?
         and w.started_at >= ?
         and h.name = ?
         and not exists (
               select from cortex.audit a
                where a.event = any (s.events) and a.handler = ? and a.outcome = 'done')
      """;

  /**
   * One row: silences against the alerts that name them, by worker. Parameter, twice: beginning.
   */
  private static final String ALERTS =
      """
      with alerts as (
        select e.event_id, e.received_at, e.payload
          from cortex.event_log e
         where e.type = 'system.health_alert'
           and e.payload ->> 'alert_type' = 'stale_workers'
           and e.received_at >= ?
           and not e.log_only  -- the archive's tells of workers of its own time
      ), told as (
        select w.worker_id, count(*) as n
          from alerts a
         cross join lateral jsonb_array_elements_text(a.payload -> 'workers') w(worker_id)
         group by w.worker_id
      ), silent as (
        select s.worker_id, count(*) as n from fleet.stale_episodes s where s.opened_at >= ? group by s.worker_id
      )
      select (select coalesce(array_agg(a.event_id order by a.received_at), '{}') from alerts a) as ids,
             coalesce(sum(s.n), 0) as silences,
             coalesce(sum(greatest(coalesce(s.n, 0) - coalesce(t.n, 0), 0)), 0) as untold,
             coalesce(sum(greatest(coalesce(t.n, 0) - coalesce(s.n, 0), 0)), 0) as repeated
        from silent s
        full join told t on t.worker_id = s.worker_id
      """;

  /** One row: of what the demo asked for, not a schedule. Parameter, twice: beginning. */
  private static final String CHORES =
      """
      select (select count(*)
                from fleet.learning_cycles c
               where c.started_at >= ? and c.requested_by = 'demo') as learning_cycles,
             (select count(*)
                from fleet.system_events e
                join fleet.system_events request on request.event_id = e.causation_id
               where e.type = 'system.cleanup_completed'
                 and e.source = 'cleanup'
                 and e.received_at >= ?
                 and request.source = 'demo') as cleanups
      """;

  private final Connection connection;
  private final Questions questions;

  /**
   * @param connection in auto-commit
   */
  DemoStore(Connection connection) {
    this.connection = connection;
    this.questions = new Questions(connection);
  }

  /** Empty where there is none, or where the database is the demo's. */
  Optional<String> foreignTable() throws SQLException {
    return questions.all(FOREIGN_TABLE, row -> row.getString(1)).stream().findFirst();
  }

  void prepare() throws SQLException {
    questions.run(PREPARE);
  }

  OffsetDateTime now() throws SQLException {
    return questions.one("select clock_timestamp()", row -> row.getObject(1, OffsetDateTime.class));
  }

  /** A day that has had no learning cycle yet, so that the demo can be run again. */
  String nextLearningDate() throws SQLException {
    return questions.one(
        """
        select greatest(current_date, coalesce((select max(c.cycle_date) + 1 from fleet.learning_cycles c), current_date))
        """,
        row -> row.getString(1));
  }

  /** Sets how long a worker may be silent, and how long a failed task waits to be tried again. */
  void setThresholds(Duration staleAfter, Duration fixDelay) throws SQLException {
    questions.run(
        """
        update fleet.settings
           set stale_after = make_interval(secs => ?),
               fix_first_delay = make_interval(secs => ?)
        """,
        staleAfter.toSeconds(),
        fixDelay.toSeconds());
  }

  /**
   * To what they are from the start; what they were before this run, a demo that was killed has
   * set.
   */
  void resetThresholds() throws SQLException {
    questions.run("update fleet.settings set stale_after = default, fix_first_delay = default");
  }

  /**
   * Lets nobody make an effect until {@link #releaseEffects}, when those who are about to have
   * ended: whoever is in the middle of a batch then waits there.
   */
  void holdEffects() throws SQLException {
    connection.setAutoCommit(false);
    questions.run("lock table demo.effects in share row exclusive mode");
  }

  void releaseEffects() throws SQLException {
    connection.rollback();
    connection.setAutoCommit(true);
  }

  long deliveriesInHands(String worker, OffsetDateTime since) throws SQLException {
    return questions.one(
        IN_HANDS, row -> row.getLong(1), worker, since, DemoHandlers.NAME, DemoHandlers.NAME);
  }

  /** How many of these workers are at work. */
  long workersThatLive(List<String> names, OffsetDateTime since) throws SQLException {
    return questions.one(
        """
        select count(distinct w.name)
          from cortex.workers w
         where w.stopped_at is null and w.started_at >= ? and w.name = any (?)
        """,
        row -> row.getLong(1),
        since,
        names);
  }

  AlertTally alerts(OffsetDateTime since) throws SQLException {
    return questions.one(
        ALERTS,
        row ->
            new AlertTally(
                List.of((String[]) row.getArray("ids").getArray()),
                row.getLong("silences"),
                row.getLong("untold"),
                row.getLong("repeated")),
        since,
        since);
  }

  ChoreTally chores(OffsetDateTime since) throws SQLException {
    return questions.one(
        CHORES,
        row -> new ChoreTally(row.getLong("learning_cycles"), row.getLong("cleanups")),
        since,
        since);
  }

  DemoProgress progress(OffsetDateTime since, Duration elapsed, long emitted, int workers)
      throws SQLException {
    return questions.one(
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
    return questions.all(
        HANDLERS,
        row ->
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
                Math.round(row.getDouble("median_ms"))),
        since,
        since,
        since);
  }

  EventTally events(OffsetDateTime since, Ledger ledger) throws SQLException {
    long emitted = ledger.committed().size();
    return questions.one(
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
    return questions.one(
        EFFECTS,
        row -> new EffectTally(row.getLong("made"), row.getLong("missing"), row.getLong("doubled")),
        DemoHandlers.NAME,
        since,
        since);
  }
}
