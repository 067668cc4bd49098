package dev.cortex.events.crash;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;

/**
 * Holds the database against what was written outside of it. Each row that it returns is an
 * invariant that does not hold, with how often and the first number or id.
 */
final class CrashAudit {

  static final String SCHEMA =
      """
      create table crash_effects (handler text not null, n integer not null, event_id text not null);
      create table crash_oracle (n integer not null, verdict text not null);
      create table crash_fails_once (handler text not null);
      grant all on crash_effects, crash_oracle, crash_fails_once to public;
      """;

  private static final String INVARIANTS =
      """
      with event as (
        select e.id, (e.payload ->> 'n')::integer as n, cortex.public_event_id(e.id, e.received_at, e.event_id) as event_id
          from cortex.events e
         where e.type = 'crash.happened'
      ),
      expected as (
        select e.id, e.n, e.event_id, h.handler_id, h.name as handler
          from event e
         cross join cortex.handlers h
         where h.name like 'crash-%'
      ),
      attempt as (
        select a.event, a.handler_id, a.outcome, a.attempt, a.reason
          from cortex.attempts a
      ),
      broken (invariant, sample) as (
        select 'a committed event is lost', o.n::text
          from crash_oracle o
         where o.verdict = 'committed' and not exists (select from event e where e.n = o.n)
        union all
        select 'an event is there twice', e.n::text
          from event e group by e.n having count(*) > 1
        union all
        select 'a rolled back event is there', e.n::text
          from event e join crash_oracle o using (n) where o.verdict = 'rolled_back'
        union all
        select 'an event is there that nobody emitted', e.n::text
          from event e where not exists (select from crash_oracle o where o.n = e.n)
        union all
        select 'an effect is missing', x.handler || ' ' || x.n
          from expected x
         where not exists (select from crash_effects f where (f.handler, f.event_id) = (x.handler, x.event_id))
        union all
        select 'an effect is doubled', f.handler || ' ' || f.event_id
          from crash_effects f group by f.handler, f.event_id having count(*) > 1
        union all
        select 'an effect is of no event', f.handler || ' ' || f.n
          from crash_effects f
         where not exists (select from event e where (e.event_id, e.n) = (f.event_id, f.n))
        union all
        select 'a delivery has not exactly one done attempt', x.handler || ' ' || x.n
          from expected x
          left join attempt a on a.event = x.id and a.handler_id = x.handler_id and a.outcome = 'done'
         group by x.handler, x.n having count(a.event) <> 1
        union all
        select 'attempts are not numbered 1 to n', a.handler_id || ' ' || a.event
          from attempt a
         group by a.handler_id, a.event
        having min(a.attempt) <> 1 or max(a.attempt) <> count(*) or count(distinct a.attempt) <> count(*)
        union all
        select 'a failure is not in the audit, or what does not fail is', x.handler || ' ' || x.n
          from expected x
          left join attempt a on a.event = x.id and a.handler_id = x.handler_id and (a.outcome, a.reason) = ('retry', 'handler_failed')
         group by x.handler, x.n having count(a.event) <> case when x.n % 100 = 7 and x.handler in (select f.handler from crash_fails_once f) then 1 else 0 end
        union all
        select 'an attempt ended otherwise', a.outcome::text || ' ' || coalesce(a.reason, '')
          from attempt a where a.outcome not in ('done', 'retry')
        union all
        select 'a delivery is stuck', d.handler_id || ' ' || d.event
          from cortex.deliveries d
        union all
        select 'a slot of a dead worker is left', s.worker_id::text
          from cortex.slots s
        union all
        select 'a worker is thought alive', w.worker_id::text
          from cortex.workers w where w.stopped_at is null
        union all
        select 'a transaction is left open', a.pid::text
          from pg_stat_activity a
         where a.datname = current_database() and a.state like 'idle in transaction%' and a.pid <> pg_backend_pid()
        union all
        select 'a prepared transaction is left', p.gid
          from pg_prepared_xacts p
      )
      select invariant, count(*) as times, min(sample) as sample
        from broken
       group by invariant
       order by invariant
      """;

  private CrashAudit() {}

  /** Loads what the emitters wrote down. */
  static void load(Connection connection, List<Path> ledgers) throws SQLException, IOException {
    try (PreparedStatement insert =
        connection.prepareStatement("insert into crash_oracle (n, verdict) values (?, ?)")) {
      for (Path ledger : ledgers) {
        for (String line : Files.readAllLines(ledger)) {
          String[] words = line.split(" ", 2);
          insert.setInt(1, Integer.parseInt(words[0]));
          insert.setString(2, words[1]);
          insert.addBatch();
        }
      }
      insert.executeBatch();
    }
  }

  /** The invariants that do not hold. */
  static List<String> broken(Connection connection) throws SQLException {
    List<String> broken = new ArrayList<>();
    try (Statement statement = connection.createStatement();
        ResultSet rows = statement.executeQuery(INVARIANTS)) {
      while (rows.next()) {
        broken.add(
            "%s (%d times, first: %s)"
                .formatted(rows.getString(1), rows.getLong(2), rows.getString(3)));
      }
    }
    return broken;
  }
}
