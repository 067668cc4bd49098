-- What was promised, held against what was written down outside of the database (crash_oracle), and against effects and
-- calls that were written by the handlers, into tables without a unique key. To be asked as the superuser, who alone
-- sees the state of other sessions, when every process has ended. Each row is a promise that was not kept: its name,
-- how often, an example. What needs no oracle, and so holds at any moment, is ops/sql/invariants.sql: it stands in
-- the place of :invariants, so that all of it is one statement.
with
invariants as (
:invariants
),
event as materialized (
  select e.id, (e.payload ->> 'n')::integer as n, e.payload ->> 'by' as by, e.payload ->> 'check' as digest, e.type, e.key,
         e.run_at, e.causation_id, cortex.public_event_id(e.id, e.received_at, e.event_id) as event_id
    from cortex.events e
   where e.type like 'crash.%'),
audited as materialized (
  select a.event, a.handler_id, bool_or(a.outcome = 'done') as is_done,
         bool_or(a.outcome = 'cancel' and a.worker_id is not null) as cancelled_itself,
         bool_or(a.outcome = 'cancel' and a.worker_id is null) as was_cancelled,
         count(*) filter (where a.reason = 'handler_failed') as failed,
         count(*) filter (where a.reason = 'handler_retry') as retried,
         bool_or(a.attempt = 1 and a.outcome = 'crash' or a.reason in ('time_budget', 'database_gone')) as was_hit
    from cortex.attempts a
   group by a.event, a.handler_id),
effect as materialized (
  select f.handler, f.event_id, count(*) as times, min(f.seq) as seq, min(f.at) as at, max(f.fence) as fence,
         min(f.digest) as digest
    from crash_effects f
   group by f.handler, f.event_id),
call as materialized (
  select c.event_id, max(c.fence) as fence, count(distinct c.fence) as fences, count(*) as times,
         count(distinct c.idempotency_key) as keys
    from crash_calls c
   group by c.event_id),
-- Each event for each handler that it went to, and what became of it.
delivery as materialized (
  select e.id, e.n, e.by, e.event_id, e.key, e.run_at, h.handler_id, h.name as handler, h.mode,
         coalesce(a.is_done, false) as is_done, a.cancelled_itself, a.was_cancelled, a.failed, a.retried, a.was_hit,
         f.times, f.seq, f.at, f.fence, c.fence as last_fence
    from event e
    join cortex.routes r on r.type = e.type
    join cortex.handlers h on h.handler_id = r.handler_id
    left join audited a on (a.event, a.handler_id) = (e.id, h.handler_id)
    left join effect f on (f.handler, f.event_id) = (h.name, e.event_id)
    left join call c on c.event_id = e.event_id and h.mode = 'leased'
   where h.name like 'crash-%'),
session as (
  select a.pid, a.state, a.application_name
    from pg_stat_activity a
   where a.datname = current_database() and a.backend_type = 'client backend' and a.pid <> pg_backend_pid()),
broken (promise, sample) as (
  -- What was emitted.
  select 'I01 a committed event is lost', o.n::text
    from crash_oracle o
    left join event e on e.n = o.n and e.by is null
   where o.verdict = 'committed' and e.n is null
  union all
  select 'I03 an event is there twice', e.n::text
    from event e
   where e.by is null
   group by e.n
  having count(*) > 1
  union all
  select 'I02 a rolled back event is there', e.n::text
    from event e
    join crash_oracle o using (n)
   where o.verdict = 'rolled_back' and e.by is null
  union all
  select 'I04 an event is there that nobody emitted', e.n::text
    from event e
    left join crash_oracle o on o.n = e.n
   where o.n is null
      or e.by <> 'clock' and e.causation_id is null
  union all
  select 'I22 an event of the clock has no fire', e.event_id
    from event e
   where e.by = 'clock'
     and not exists (select from cortex.fires f where f.event_id = e.event_id)
  union all
  select 'I27 a payload has changed on the way', e.n::text
    from event e
    left join effect f on f.event_id = e.event_id
   where e.digest is distinct from md5(e.n::text)
      or f.digest <> md5(e.n::text)

  -- What it did.
  union all
  select 'I08 an effect is missing', d.handler || ' ' || d.n
    from delivery d
   where d.is_done and d.times is null
  union all
  select 'I08 an effect is doubled', d.handler || ' ' || d.n
    from delivery d
   where d.times > 1
  union all
  select 'I09 an effect is of what was not done', d.handler || ' ' || d.n
    from delivery d
   where not d.is_done and d.times > 0
  union all
  select 'I09 an effect is of no event', f.handler || ' ' || f.event_id
    from effect f
    left join delivery d on (d.handler, d.event_id) = (f.handler, f.event_id)
   where d.id is null
  union all
  -- What a handler emits is an effect like any other.
  select 'I08 a follow-up is missing, doubled, or of what was not done', d.handler || ' ' || d.n
    from delivery d
    left join (select e.causation_id, e.by, count(*) as times
                 from event e
                where e.by is not null
                group by e.causation_id, e.by) f
      on (f.causation_id, f.by) = (d.event_id, d.handler)
   where coalesce(f.times, 0) <> case when d.is_done and d.n % 53 = 0 and d.by is null then 1 else 0 end

  -- Effects elsewhere, of leased handlers: at least one of what is done, all with one key and each under a fence of its
  -- own; what committed with the acknowledgement was done under the last fence.
  union all
  select 'I08 an effect elsewhere is missing', d.handler || ' ' || d.n
    from delivery d
   where d.mode = 'leased' and d.is_done and d.last_fence is null
  union all
  select 'I08 an effect elsewhere has two idempotency keys', c.event_id
    from call c
   where c.keys > 1
  union all
  select 'I08 two deliveries have one idempotency key', c.idempotency_key
    from crash_calls c
   group by c.idempotency_key
  having count(distinct c.event_id) > 1
  union all
  select 'I10 an effect is of a lease that another one had followed', d.handler || ' ' || d.n
    from delivery d
   where d.mode = 'leased' and d.times > 0
     and d.fence is distinct from d.last_fence
  union all
  select 'I13 an attempt began of which the audit says nothing', c.event_id
    from crash_calls c
    left join delivery d on (d.event_id, d.handler) = (c.event_id, 'crash-leased')
   where not coalesce(d.was_cancelled, false)
     and not exists (select from cortex.attempts a where (a.event, a.handler_id, a.attempt) = (d.id, d.handler_id, c.attempt))
  union all
  select 'I17 two leases have one fence', c.event_id
    from call c
   where c.fences <> c.times
  union all
  -- The number of an effect is taken while its lane is locked, and so counts within a key as commits do.
  select 'I18 an event has overtaken another of its key', f.key || ' ' || f.n
    from (select d.key, d.n, d.id < max(d.id) over (partition by d.key order by d.seq
                                                    rows between unbounded preceding and 1 preceding) as is_late
            from delivery d
           where d.handler = 'crash-ordered' and d.key is not null and d.times > 0) f
   where f.is_late
  union all
  select 'I19 an effect came before its time', d.handler || ' ' || d.n
    from delivery d
   where d.at < d.run_at

  -- What the audit says of it.
  union all
  select 'I11 a failure is not in the audit, or one that was none', d.handler || ' ' || d.n
    from delivery d
   where d.mode <> 'leased'  -- a leased handler has a connection of its own, and may lose it
     and (d.is_done or d.failed > 0 or d.retried > 0)
     and (d.failed, d.retried)
         is distinct from (case when d.n % 997 = 1 and d.by is null then 1 else 0 end,
                           case when d.n % 997 = 2 and d.by is null and d.mode <> 'batch' then 1 else 0 end)
     and not (d.n % 997 in (1, 2) and (d.failed, d.retried) = (0, 0) and d.was_hit)  -- a later attempt does not fail
  union all
  select 'I25 an attempt ended otherwise',
         concat_ws(' ', a.outcome, a.reason, 'as attempt', a.attempt, 'of', h.max_attempts, h.name, a.event)
    from cortex.attempts a
    join cortex.handlers h on h.handler_id = a.handler_id
   where a.outcome <> 'done'
     -- What is redriven time and again has no attempts left that a blow could cost.
     and not (a.outcome = 'dead' and a.attempt >= h.max_attempts
              and a.reason in ('process_died', 'lease_lost', 'time_budget', 'database_gone'))
     and (a.outcome, a.reason) not in (('retry', 'handler_failed'), ('retry', 'handler_retry'), ('snooze', 'handler_snooze'),
                                       ('dead', 'handler_dead'), ('cancel', 'cancelled'),
                                       -- what a blow may cost
                                       ('crash', 'process_died'), ('crash', 'lease_lost'), ('retry', 'time_budget'),
                                       ('retry', 'database_gone'), ('snooze', 'contention'))
  union all
  select 'I25 a delivery was cancelled by nobody', d.handler || ' ' || d.n
    from delivery d
   where (d.was_cancelled or d.cancelled_itself and not (d.n % 997 = 6 and d.by is null and d.mode <> 'batch'))
     -- Of what runs, the worker records what an operator asked for.
     and not exists (select from cortex.operator_actions o
                      where o.action = 'cancel' and o.subject ->> 'event_id' = d.event_id)

  -- What is left behind.
  union all
  select 'I07 a delivery is stuck', d.handler_id || ' ' || d.event
    from cortex.deliveries d
    left join delivery x on (x.id, x.handler_id) = (d.event, d.handler_id)
   where d.run_at < 'infinity'
      or (x.n % 997 in (4, 5) and x.by is null and x.mode <> 'batch') is not true
  union all
  select 'I28 the status view says otherwise', s.handler
    from (select q.handler, sum(q.available + q.scheduled + q.running + q.retrying + q.held + q.dead) as open
            from cortex.queue_status q
           group by q.handler) s
    join cortex.handlers h on h.name = s.handler
   where s.open <> (select count(*) from cortex.deliveries d where d.handler_id = h.handler_id)
  union all
  select 'I29 a slot is left', s.worker_id::text
    from cortex.slots s
  union all
  select 'I29 a worker is thought alive', w.worker_id::text
    from cortex.workers w
   where w.stopped_at is null
  union all
  select 'I29 a session is left', s.application_name
    from session s
  union all
  select 'I29 a transaction is left open', s.pid::text
    from session s
   where s.state like 'idle in transaction%'
  union all
  select 'I29 an advisory lock is left', l.classid || ' ' || l.objid
    from pg_locks l
    join pg_database d on d.oid = l.database
   where l.locktype = 'advisory' and d.datname = current_database()
  union all
  select 'I29 a prepared transaction is left', p.gid
    from pg_prepared_xacts p
   where p.database = current_database()
)
select invariant, times, sample
  from invariants
 union all
select promise, count(*), min(sample)
  from broken
 group by promise
 order by 1
