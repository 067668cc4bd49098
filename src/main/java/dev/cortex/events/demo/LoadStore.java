package dev.cortex.events.demo;

import java.sql.Connection;
import java.sql.SQLException;
import java.time.OffsetDateTime;
import java.util.List;
import java.util.Optional;

/**
 * What a load test asks of the views, as any auditor could. A run's events are told by their
 * sources, which begin with its name, and read from the run's beginning on.
 */
final class LoadStore {
  /** Parameter: the check's public id. */
  private static final String OBSERVE =
      """
      select (select count(*) from cortex.workers w where w.stopped_at is null) as workers,
             count(d.handler) as deliveries,
             count(*) filter (where d.state = 'completed') as answered,
             (select count(*)
                from cortex.events e
               where e.received_at > clock_timestamp() - interval '5 minutes') as recent,
             (select bool_or(r.payload ->> 'active' = 'true')
                from cortex.event_log r
               where r.causation_id = c.event_id
                 and r.type = 'system.observability_reported') as reported,
             (extract(epoch from max(d.finished_at) - min(l.received_at)) * 1000)::bigint as answer_ms
        from (select ?::text as event_id) c
       cross join lateral cortex.locate_event(c.event_id) l
        left join lateral cortex.deliveries_of(c.event_id) d on true
       group by c.event_id
      """;

  /** Parameters: beginning, the run. */
  private static final String WAITING =
      """
      select count(*)
        from cortex.open_deliveries d
        join cortex.events e on e.id = d.event and e.received_at = d.event_at
       where d.event_at >= ?
         and starts_with(e.source, ?)
         and d.state <> 'dead'
      """;

  /** Parameters: beginning, the run. */
  private static final String LOGGED =
      """
      select count(*) from cortex.events e where e.received_at >= ? and starts_with(e.source, ?)
      """;

  /**
   * A row per handler: the deliveries that there had to be, by its subscriptions, against the
   * attempts that the audit has of them. Parameters: beginning, the run, beginning twice.
   */
  private static final String TALLIES =
      """
      with expected as (
        select l.id, h.handler, l.received_at
          from cortex.event_log l
          join cortex.handler_status h
            on exists (select from unnest(h.patterns) p(pattern) where cortex.type_matches(l.type, p.pattern))
         where l.received_at >= ?
           and starts_with(l.source, ?)
      ), audited as (
        select a.event, a.handler,
               count(*) filter (where a.outcome = 'done') as done,
               count(*) filter (where a.outcome in ('retry', 'crash')) as retried,
               count(*) filter (where a.outcome in ('cancel', 'expire')) as cancelled,
               min(a.finished_at) filter (where a.outcome = 'done') as done_at
          from cortex.audit a
         where a.event_at >= ?
           and a.generation = 0
         group by a.event, a.handler
      ), open as (
        select d.event, d.handler, d.state from cortex.open_deliveries d where d.event_at >= ?
      ), ended as (
        select e.handler, a.done, a.retried, a.cancelled, o.state,
               extract(epoch from a.done_at - e.received_at) * 1000 as ms
          from expected e
          left join audited a on a.event = e.id and a.handler = e.handler
          left join open o on o.event = e.id and o.handler = e.handler
      )
      select e.handler,
             count(*) as delivered,
             count(*) filter (where e.done > 0) as handled,
             count(*) filter (where e.cancelled > 0) as cancelled,
             coalesce(sum(e.retried), 0) as retried,
             count(*) filter (where e.state = 'dead') as dead,
             count(*) filter (where e.state is null and coalesce(e.done + e.cancelled, 0) = 0) as lost,
             count(*) filter (where e.done > 1 or (e.done > 0 and (e.cancelled > 0 or e.state is not null)))
               as duplicated,
             count(*) filter (where e.state <> 'dead') as open,
             coalesce(percentile_cont(0.5) within group (order by e.ms), 0) as p50_ms,
             coalesce(percentile_cont(0.95) within group (order by e.ms), 0) as p95_ms,
             coalesce(percentile_cont(0.99) within group (order by e.ms), 0) as p99_ms,
             coalesce(max(e.ms), 0) as max_ms
        from ended e
       group by e.handler
       order by e.handler
      """;

  private final Questions questions;
  private final OffsetDateTime start;

  /**
   * A run begins, by the database's clock.
   *
   * @param connection in auto-commit
   */
  LoadStore(Connection connection) throws SQLException {
    this.questions = new Questions(connection);
    this.start =
        questions.one("select clock_timestamp()", row -> row.getObject(1, OffsetDateTime.class));
  }

  OffsetDateTime start() {
    return start;
  }

  Observability observe(String eventId) throws SQLException {
    return questions.one(
        OBSERVE,
        row ->
            new Observability(
                eventId,
                row.getLong("workers"),
                row.getLong("deliveries"),
                row.getLong("answered"),
                row.getLong("recent"),
                Optional.ofNullable((Boolean) row.getObject("reported")),
                Optional.ofNullable((Long) row.getObject("answer_ms"))),
        eventId);
  }

  long waiting(String run) throws SQLException {
    return count(WAITING, run);
  }

  long logged(String run) throws SQLException {
    return count(LOGGED, run);
  }

  private long count(String sql, String run) throws SQLException {
    return questions.one(sql, row -> row.getLong(1), start, run);
  }

  List<LoadResult.Tally> tallies(String run) throws SQLException {
    return questions.all(
        TALLIES,
        row ->
            new LoadResult.Tally(
                row.getString("handler"),
                row.getLong("delivered"),
                row.getLong("handled"),
                row.getLong("cancelled"),
                row.getLong("retried"),
                row.getLong("dead"),
                row.getLong("lost"),
                row.getLong("duplicated"),
                row.getLong("open"),
                row.getDouble("p50_ms"),
                row.getDouble("p95_ms"),
                row.getDouble("p99_ms"),
                row.getDouble("max_ms")),
        start,
        run,
        start,
        start);
  }
}
