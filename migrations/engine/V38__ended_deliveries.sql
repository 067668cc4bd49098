-- A key that waits for its lane's version to change is listed as blocked whatever its first event waits for, and dead
-- letters are redriven in a time that grows with their number only.
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

-- As in V8, but each lane's version is raised once: ten thousand versions of one row made it quadratic.
create or replace function cortex.redrive(handler text, reason text, type text default null, max_deliveries integer default 1000) returns integer
language plpgsql security definer set search_path = cortex, pg_temp set jit = off as $$
#variable_conflict use_column
declare
  v_handler_id smallint;
  v_types      text[];
  v_tids       tid[];
  v_ids        text[];
  v_handlers   smallint[];
  v_lanes      smallint[];
  v_events     text[];
begin
  perform cortex.check_action(redrive.reason, redrive.max_deliveries);
  v_handler_id := cortex.handler_named(redrive.handler);
  if redrive.type is not null then
    v_types := array(select t.type from cortex.event_types t where coalesce(t.alias_of, t.type) = cortex.type_named(redrive.type));
  end if;

  with dead as materialized (
    select d.ctid as tid, e.event_id, cortex.lane_for(d.handler_id, e.type, d.key) as lane
      from cortex.deliveries d
      left join cortex.events e on e.id = d.event and e.received_at = d.event_at
     where d.handler_id = v_handler_id
       and d.run_at = 'infinity'
       and (v_types is null or e.type = any (v_types))
     order by d.event
     limit redrive.max_deliveries
       for update of d skip locked)
  select array_agg(d.tid), array_agg(d.event_id), array_agg(d.lane), array_agg(v_handler_id)
    into v_tids, v_ids, v_lanes, v_handlers
    from dead d;
  with redriven as (
    update cortex.deliveries d
       set run_at = statement_timestamp(), lane = f.lane
      from unnest(v_tids, v_ids, v_lanes, cortex.bump_lanes(v_handlers, v_lanes)) as f(tid, event_id, lane, is_free)
     where d.ctid = f.tid
       and f.is_free
    returning d.event, d.event_at, f.event_id)
  select array_agg(cortex.public_event_id(r.event, r.event_at, r.event_id) order by r.event) into v_events from redriven r;

  if v_events is not null then
    perform cortex.wake(array[v_handler_id]);
  end if;
  perform cortex.record_action(
    'redrive', jsonb_build_object('handler', redrive.handler, 'type', redrive.type), redrive.reason,
    jsonb_build_object('state', 'dead'),
    jsonb_build_object('state', 'available', 'deliveries', coalesce(cardinality(v_events), 0), 'event_ids', coalesce(to_jsonb(v_events), '[]')));
  return coalesce(cardinality(v_events), 0);
end
$$;
