-- What holds in the database at every moment, whatever has died. Returns a row for each invariant that is broken: its
-- name, how often, and an example (handler's id and event's number, or an event's id). No row: all hold.
--
--   psql "$DATABASE_URL" -c 'set role cortex_auditor' -c 'set work_mem = "256MB"' -f ops/sql/invariants.sql
--
-- One statement, so one snapshot: workers and emitters may go on meanwhile. Locks: none but ACCESS SHARE. It reads the
-- log, the queue and the audit as a whole, which pins the horizon for some ten seconds per million events: on a large
-- database ask a standby.
-- The numbers are those of docs/reliability.md, which says how each is tested.
with
-- Who should have got what, since when: a minute after subscribing, for emitters that were open beside it.
route as materialized (
  select r.type, r.handler_id, min(s.subscribed_at) + interval '1 minute' as since
    from cortex.routes r
    left join cortex.event_types t on t.type = r.type
    join cortex.subscriptions s
      on s.handler_id = r.handler_id
     and (s.pattern = coalesce(t.alias_of, r.type)
          or right(s.pattern, 1) = '*' and starts_with(coalesce(t.alias_of, r.type), left(s.pattern, -1)))
   group by r.type, r.handler_id),
-- What the audit says of each delivery. Charged is what cost an attempt; attempt 0 ended without one.
tried as materialized (
  select a.event, a.handler_id, a.generation, min(a.event_at) as event_at, count(*) as times, max(a.attempt) as last,
         count(*) filter (where a.outcome in ('done', 'cancel', 'expire')) as ends,
         min(a.attempt) filter (where a.outcome = 'done') as done,
         count(*) filter (where a.outcome in ('retry', 'dead', 'crash') and a.attempt > 0) as charges,
         count(distinct a.attempt) filter (where a.outcome in ('retry', 'dead', 'crash') and a.attempt > 0) as numbers,
         coalesce(max(a.attempt) filter (where a.outcome in ('retry', 'dead', 'crash')), 0) as last_charge
    from cortex.attempts a
   group by a.event, a.handler_id, a.generation),
-- Attempts that followed another one of their delivery.
successive as materialized (
  select a.event, a.handler_id, a.generation, a.worker_id, a.outcome, a.started_at, a.finished_at,
         lag(a.outcome) over w as before, lag(a.reason) over w as before_reason, lag(a.finished_at) over w as before_at
    from cortex.attempts a
    join tried t on (t.event, t.handler_id, t.generation) = (a.event, a.handler_id, a.generation)
   where t.times > 1
     and a.reason is distinct from 'key_skipped'
  window w as (partition by a.event, a.handler_id, a.generation order by a.finished_at, a.attempt)),
broken (invariant, sample) as (
  select 'I05 a delivery is missing', r.handler_id || ' ' || e.id
    from cortex.events e
    join route r on r.type = e.type
   where not e.log_only
     and e.received_at > r.since
     -- The audit of what was received before its oldest month may be gone.
     and e.received_at >= coalesce((select date_trunc('month', min(a.finished_at), 'UTC') from cortex.attempts a), '-infinity')
     and not exists (select from cortex.deliveries d where (d.event, d.handler_id, d.generation) = (e.id, r.handler_id, 0))
     and not exists (select from tried t where (t.event, t.handler_id, t.generation) = (e.id, r.handler_id, 0) and t.ends > 0)
  union all
  select 'I06 a delivery is of no subscription', d.handler_id || ' ' || d.event
    from (select d.event, d.event_at, d.handler_id from cortex.deliveries d
           union
          select t.event, t.event_at, t.handler_id from tried t) d
    join cortex.events e on e.id = d.event and e.received_at = d.event_at
    join cortex.event_types t on t.type = e.type
   where not exists (select from route r where (r.type, r.handler_id) = (e.type, d.handler_id))
     -- Who retires has no subscription any more.
     and not exists (select from cortex.handlers h where h.handler_id = d.handler_id and h.retiring is not null)
  union all
  select 'I07 a delivery is there twice', d.handler_id || ' ' || d.event
    from cortex.deliveries d
   group by d.event, d.handler_id, d.generation
  having count(*) > 1
  union all
  select 'I07 a delivery is held though its type is not paused', d.handler_id || ' ' || d.event
    from cortex.deliveries d
    join cortex.events e on e.id = d.event and e.received_at = d.event_at
    left join cortex.event_types t on t.type = e.type
   where d.lane = -1
     and not exists (select from cortex.held_types k where k.type = coalesce(t.alias_of, e.type))
  union all
  select 'I07 a delivery has ended and is open', d.handler_id || ' ' || d.event
    from cortex.deliveries d
    join tried t on (t.event, t.handler_id, t.generation) = (d.event, d.handler_id, d.generation)
   where t.ends > 0
  union all
  select 'I07 a delivery has ended twice', t.handler_id || ' ' || t.event
    from tried t
   where t.ends > 1
  union all
  select 'I11 the count of attempts is not that of the audit', d.handler_id || ' ' || d.event
    from cortex.deliveries d
    left join tried t on (t.event, t.handler_id, t.generation) = (d.event, d.handler_id, d.generation)
   where d.attempt <> coalesce(t.charges, 0)
  union all
  select 'I12 attempts are not numbered 1 to n', t.handler_id || ' ' || t.event
    from tried t
   where t.numbers <> t.charges
      or t.last_charge <> t.charges
      or t.done <> t.charges + 1
  union all
  select 'I14 a last attempt failed and the delivery went on', a.handler_id || ' ' || a.event
    from cortex.attempts a
    join cortex.handlers h on h.handler_id = a.handler_id
   where a.outcome in ('retry', 'crash')
     and a.attempt >= h.max_attempts
  union all
  select 'I15 done was not the last attempt', t.handler_id || ' ' || t.event
    from tried t
   where t.last > t.done
  union all
  -- A transaction may have begun a moment before it had the delivery. Whose lease was lost may still be running.
  select 'I16 two attempts of a delivery overlap', s.handler_id || ' ' || s.event
    from successive s
   where s.started_at < s.before_at - interval '1 second'
     and s.before_reason is distinct from 'lease_lost'
  union all
  select 'I17 a lease has no fence', d.handler_id || ' ' || d.event
    from cortex.deliveries d
   where d.leased_by is not null
     and (d.fence is null or d.leased_at is null)
  union all
  select 'I18 a key lies in the lane of none', d.handler_id || ' ' || d.event
    from cortex.deliveries d
    join cortex.handlers h on h.handler_id = d.handler_id
   where d.lane > 0
     and (d.key is null or d.lane > h.lanes)
  union all
  select 'I18 a key lies in two lanes', d.handler_id || ' ' || min(d.event)
    from cortex.deliveries d
   where d.lane > 0
   group by d.handler_id, d.key
  having min(d.lane) <> max(d.lane)
  union all
  select 'I18 a delivery is parked and its key is not blocked', d.handler_id || ' ' || d.event
    from cortex.deliveries d
   where d.parked
     and not exists (select from cortex.blocked_keys b
                      where b.handler_id = d.handler_id and b.lane = d.lane and md5(b.key) = md5(d.key) and b.event <= d.event)
  union all
  select 'I19 an event was handled before its time', a.handler_id || ' ' || a.event
    from cortex.attempts a
    join cortex.events e on e.id = a.event and e.received_at = a.event_at
   where a.finished_at < e.run_at
     and (a.attempt, a.generation) = (1, 0)
     and a.worker_id is not null
  union all
  select 'I20 a dedupe key is there twice', min(e.id)::text
    from cortex.events e
    left join cortex.event_types t on t.type = e.type
   where e.dedupe_key is not null
   group by coalesce(t.alias_of, e.type), e.dedupe_key
  having count(*) > 1
  union all
  select 'I20 an event''s id is there twice', min(e.id)::text
    from cortex.events e
   where e.event_id is not null
   group by e.event_id
  having count(*) > 1
  union all
  select 'I21 a fire has no event', f.schedule || ' ' || f.fire_at
    from cortex.fires f
   where f.fired_at >= (select min(e.received_at) from cortex.events e)
     and not exists (select from cortex.locate_event(f.event_id))
  union all
  select 'I22 two fires have one event', min(f.schedule)
    from cortex.fires f
   group by f.event_id
  having count(*) > 1
  union all
  select 'I24 a delivery is dead without the audit''s saying so', d.handler_id || ' ' || d.event
    from cortex.deliveries d
   where d.run_at = 'infinity'
     and (select a.outcome
            from cortex.attempts a
           where (a.event, a.handler_id, a.generation) = (d.event, d.handler_id, d.generation)
           order by a.finished_at desc, a.attempt desc
           limit 1) is distinct from 'dead'
  union all
  select 'I25 an attempt came after the end', s.handler_id || ' ' || s.event
    from successive s
   where s.before in ('done', 'cancel', 'expire')
  union all
  select 'I25 a dead letter ran without an operator''s word', s.handler_id || ' ' || s.event
    from successive s
    join cortex.handlers h on h.handler_id = s.handler_id
   where s.before = 'dead'
     and not (s.outcome in ('cancel', 'expire') and s.worker_id is null)
     and not exists (select from cortex.operator_actions o
                      where o.action in ('retry', 'redrive')
                        and o.acted_at between s.before_at and s.finished_at
                        and o.subject ->> 'handler' = h.name)
)
select invariant, count(*) as times, min(sample) as sample
  from broken
 group by invariant
 order by invariant;
