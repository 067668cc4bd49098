-- A key that waits for its lane's version to change is listed as blocked whatever its first event waits for.
-- Locks: ACCESS EXCLUSIVE on the view, for milliseconds. Run before the code's deploy.

set local role ${owner};

-- As in V18, and besides: keys whose first event is due, and which no worker has looked at since it blocked them.
create or replace view cortex.blocked as
select h.name as handler, b.key, b.lane,
       cortex.public_event_id(d.event, d.event_at, e.event_id) as event_id,
       coalesce(t.alias_of, e.type) as type,
       case
         when d.lane = -1 then 'held'
         when d.run_at = 'infinity' then 'dead'
         when d.run_at <= statement_timestamp() then 'available'
         when d.attempt = 0 then 'scheduled'
         else 'retrying'
       end as state,
       d.attempt as attempts, d.run_at, behind.waiting, last.reason, last.error, d.event, d.event_at
  from cortex.blocked_keys b
  join cortex.handlers h on h.handler_id = b.handler_id
 cross join lateral (
         select x.*
           from cortex.deliveries x
          where x.handler_id = b.handler_id and cortex.key_hash(x.key) = cortex.key_hash(b.key) and x.key = b.key
            and x.lane in (b.lane, -1) and x.event >= b.event
          order by x.event
          limit 1) d
 cross join lateral (
         select count(*) as waiting
           from (select from cortex.deliveries x
                  where x.handler_id = b.handler_id and cortex.key_hash(x.key) = cortex.key_hash(b.key) and x.key = b.key
                    and x.lane = b.lane and x.event > d.event
                  limit 10001) few) behind
  left join cortex.events e on e.id = d.event and e.received_at = d.event_at
  left join cortex.event_types t on t.type = e.type
  left join lateral (
         select a.reason, a.error
           from cortex.attempts a
          where a.event = d.event and a.handler_id = d.handler_id and a.generation = d.generation
          order by a.finished_at desc, a.attempt desc
          limit 1) last on true
 where d.run_at > statement_timestamp() or d.lane = -1 or b.blocked_until = 'infinity';

comment on column cortex.blocked.state is 'Of the event that blocks the key: dead, retrying, scheduled (its run_at is to come), held (its type is paused) or available (due, and no worker has looked since).';
