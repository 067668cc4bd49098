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
 * Holds the database against what was written outside of it. Each row that it returns is a promise
 * that was not kept, with how often and the first number or id. To be asked as the superuser, who
 * alone sees the state of other sessions, and when every process of the test has ended.
 */
final class CrashAudit {

  /** No unique key anywhere: an effect that is made twice is to be seen twice. */
  static final String SCHEMA =
      """
      create table crash_effects (handler text not null, n integer not null, event_id text not null,
                                  worker text not null, call integer not null);
      create index crash_effects_by_call on crash_effects (worker, call);
      create table crash_oracle (n integer not null, verdict text not null,
                                 constraint verdict_is_known check (verdict in ('committed', 'rolled_back', 'in_doubt')));
      grant all on crash_effects, crash_oracle to public;
      """;

  /** What was just written has no statistics, and a loop in a loop over it takes for ever. */
  private static final String PLAN = "set enable_nestloop = off; set jit = off";

  private static final String PROMISES =
      """
      with event as materialized (
        select e.id, (e.payload ->> 'n')::integer as n, cortex.public_event_id(e.id, e.received_at, e.event_id) as event_id
          from cortex.events e
         where e.type = 'crash.happened'
      ),
      expected as materialized (
        select e.id, e.n, e.event_id, h.handler_id, h.name as handler
          from event e
         cross join cortex.handlers h
         where h.name like 'crash-%'
      ),
      audited as materialized (
        select x.handler, x.n,
               count(*) filter (where a.outcome = 'done') as done,
               count(*) filter (where (a.outcome, a.reason) = ('retry', 'handler_failed')) as failed,
               count(*) filter (where (a.outcome, a.reason) = ('crash', 'process_died')) as died,
               count(a.event) as attempts,
               count(distinct a.attempt) as numbers,
               min(a.attempt) as first,
               max(a.attempt) as last,
               max(a.attempt) filter (where a.outcome = 'done') as last_done
          from expected x
          left join cortex.attempts a on (a.event, a.handler_id, a.generation) = (x.id, x.handler_id, 0)
         group by x.handler, x.n
      ),
      session as (
        select a.pid, a.state, a.application_name
          from pg_stat_activity a
         where a.datname = current_database() and a.backend_type = 'client backend' and a.pid <> pg_backend_pid()
      ),
      broken (promise, sample) as (
        -- What was emitted.
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

        -- What it did.
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

        -- What the audit says of it.
        union all
        select 'a delivery is not done exactly once', a.handler || ' ' || a.n
          from audited a where a.done <> 1
        union all
        select 'a delivery was tried after it was done', a.handler || ' ' || a.n
          from audited a where a.last > a.last_done
        union all
        select 'attempts are not numbered 1 to n', a.handler || ' ' || a.n
          from audited a where (a.first, a.last::bigint, a.numbers) <> (1, a.attempts, a.attempts)
        union all
        select 'a failure is not in the audit, or one that was none', a.handler || ' ' || a.n
          from audited a
         where a.failed <> case when a.n % 100 = 7 then 1 else 0 end
           and not (a.n % 100 = 7 and a.failed = 0 and a.died > 0)  -- a later attempt does not fail
        union all
        select 'an attempt ended otherwise', a.outcome::text || ' ' || coalesce(a.reason, '')
          from cortex.attempts a
         where a.outcome <> 'done'
           and (a.outcome, a.reason) is distinct from ('retry', 'handler_failed')
           -- A kill that struck a delivery which ran alone, since a kill before had struck it in company.
           and (a.outcome, a.reason) is distinct from ('crash', 'process_died')
        union all
        select 'an attempt is of no delivery', a.event || ' ' || a.handler_id || ' ' || a.generation
          from cortex.attempts a
         where a.generation <> 0 or not exists (select from expected x where (x.id, x.handler_id) = (a.event, a.handler_id))

        -- What is left behind.
        union all
        select 'a delivery is stuck', d.handler_id || ' ' || d.event
          from cortex.deliveries d
        union all
        select 'a slot is left', s.worker_id::text
          from cortex.slots s
        union all
        select 'a worker is thought alive', w.worker_id::text
          from cortex.workers w where w.stopped_at is null
        union all
        select 'a session is left', s.application_name
          from session s
        union all
        select 'a transaction is left open', s.pid::text
          from session s where s.state like 'idle in transaction%'
        union all
        select 'an advisory lock is left', l.classid || ' ' || l.objid
          from pg_locks l join pg_database d on d.oid = l.database
         where l.locktype = 'advisory' and d.datname = current_database()
        union all
        select 'a prepared transaction is left', p.gid
          from pg_prepared_xacts p where p.database = current_database()
      )
      select promise, count(*) as times, min(sample) as sample
        from broken
       group by promise
       order by promise
      """;

  private CrashAudit() {}

  /** Loads what the emitters wrote down, a number and a verdict a line. */
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
    try (Statement statement = connection.createStatement()) {
      statement.execute(
          "analyze crash_oracle, crash_effects, cortex.events, cortex.attempts, cortex.deliveries");
    }
  }

  /** The promises that were not kept. */
  static List<String> broken(Connection superuser) throws SQLException {
    List<String> broken = new ArrayList<>();
    try (Statement statement = superuser.createStatement()) {
      statement.execute(PLAN);
      try (ResultSet rows = statement.executeQuery(PROMISES)) {
        while (rows.next()) {
          broken.add(
              "%s (%d times, first: %s)"
                  .formatted(rows.getString(1), rows.getLong(2), rows.getString(3)));
        }
      }
    }
    return broken;
  }
}
