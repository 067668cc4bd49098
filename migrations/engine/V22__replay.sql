-- Replay: events of the log are handled again, each as a new generation of its delivery.
-- Locks: nothing that anyone else holds. Time: milliseconds. Run before the code's deploy.

set local role ${owner};

-- One delivery that a replay makes; without a handler, an event that nobody gets.
create type cortex.replayed_row as (
  event      bigint,
  event_at   timestamptz,
  type       text,
  handler_id smallint,
  generation smallint,
  lane       smallint,
  priority   cortex.priority,
  run_at     timestamptz,
  key        text
);

-- Delivers recorded events again to the handlers that subscribe to them now: one event, or those that happened on a day
-- (UTC). Each delivery has the next generation of its event and handler, which the handler and the audit see, and
-- all the attempts of a new one. What was delivered before is left as it is, open or finished. Events that an
-- import only recorded are replayed like any other.
--
--   event_id or day: one of them. type: a type, a family (security.*) or all (*), with source, priority, correlation_id:
--     of those only what matches. handler: only to this one; of a day only the events that it gets.
--   after: only events with a higher number; max_deliveries: 1 to 10,000.
--   dry_run: says what it would do, and needs no reason.
--
-- One row per delivery; one without delivery_to for an event that no handler gets. A last row with
-- looked_to and nothing else means that there is more: call again with after => looked_to. A call looks at 10,000 events
-- at most; to look for a day, it reads the log from the day before on, to its end: what happened that day may have been
-- received, from a spool or by an import, at any time after.
--
-- A replayed delivery has its event's priority. One of an ordered handler goes to the lane of its key, and there runs by
-- its event's number: before what is open of later events, after whatever is finished.
--
-- Locks: an advisory lock, so that of two replays the second sees the first one's generations; the log, shared; lanes
-- of ordered handlers, each waited for as cortex.bump_lane does: one that stays busy ends the call before its event.
-- Indexes: the primary keys of the log's partitions, attempts_event; the queue is read once for its handlers.
create function cortex.replay(
  reason         text    default null,
  event_id       text    default null,
  day            date    default null,
  type           text    default null,
  source         text    default null,
  priority       text    default null,
  correlation_id text    default null,
  handler        text    default null,
  after          bigint  default 0,
  max_deliveries integer default 1000,
  dry_run        boolean default false
) returns table (
  event bigint, event_at timestamptz, replayed text, event_type text, delivery_to text, generation smallint, looked_to bigint
)
language plpgsql security definer set search_path = cortex, pg_temp
set lock_timeout = '5s'
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set jit = off
set enable_nestloop = off  -- as in cortex.step_backfill
as $$
#variable_conflict use_column
declare
  v_look     constant integer := 10000;
  v_handler  smallint;
  v_id       bigint;
  v_at       timestamptz;
  v_from     timestamptz := replay.day::timestamp at time zone 'UTC';
  v_looked   integer;
  v_last     bigint;
  v_lane     record;
  v_stop     bigint;  -- the first event that is left to the next call
  v_rows     cortex.replayed_row[];
  v_public   text[];
begin
  if not replay.dry_run then
    perform cortex.check_action(replay.reason, replay.max_deliveries);
  else
    perform cortex.check_action('dry run', replay.max_deliveries);
  end if;
  if (replay.event_id is null) = (replay.day is null) then
    perform cortex.refuse_action('event_id', 'or day must be given, and not both', coalesce(replay.event_id, ''));
  elsif replay.priority is not null and replay.priority <> all (enum_range(null::cortex.priority)::text[]) then
    perform cortex.refuse_action('priority', 'must be critical, high, medium or low', replay.priority);
  end if;
  -- Of a log that takes known types alone a mistyped one is told; where it takes any, any may be in it.
  if replay.type is not null
     and not (select s.allow_unknown_types from cortex.settings s)
     and not exists (select from cortex.event_types t where cortex.type_matches(t.type, replay.type))
  then
    perform cortex.refuse_action(
      'type', 'must be a known type, or a family of one' || coalesce(' (did you mean "' || cortex.nearest_type(replay.type) || '"?)', ''),
      replay.type, 'no_data_found');
  end if;
  if replay.handler is not null then
    v_handler := cortex.handler_named(replay.handler);
  end if;

  perform pg_advisory_xact_lock(hashtextextended('cortex.replay', 0));
  perform cortex.lock_log_shared();
  -- As an emitter's lock: who changes the order of a handler excludes both, before the routes are read.
  lock table only cortex.events in row exclusive mode;
  perform pg_current_xact_id();  -- before the routes are read: who changes them waits for the transactions that have a number
  if replay.event_id is not null then
    select n.id, n.received_at into v_id, v_at from cortex.event_named(replay.event_id) n;
  end if;

  -- Two shapes, so that each is one range of a primary key; the limit bounds what is looked at.
  with looked as materialized (
    (select e.*
       from cortex.events e
      where replay.event_id is not null
        and e.id = v_id and e.received_at = v_at)
     union all
    (select e.*
       from cortex.events e
      where replay.event_id is null
        and e.received_at >= date_trunc('month', v_from - interval '1 day', 'UTC')
        and e.id > replay.after
      order by e.id
      limit v_look)),
  wanted as materialized (
    select l.id, l.received_at, l.event_id, coalesce(t.alias_of, l.type) as type, t.type is not null as is_known,
           l.type as emitted_type, l.run_at, coalesce(l.priority, 'medium') as priority, l.key, l.payload
      from looked l
      left join cortex.event_types t on t.type = l.type
     where (replay.day is null or l.occurred_at >= v_from and l.occurred_at < v_from + interval '1 day')
       and (replay.type is null or cortex.type_matches(coalesce(t.alias_of, l.type), replay.type))
       and (replay.source is null or l.source = replay.source)
       and (replay.priority is null or coalesce(l.priority, 'medium')::text = replay.priority)
       and (replay.correlation_id is null or l.correlation_id = replay.correlation_id)),
  routed as (
    select w.id, r.handler_id, r.held, r.lanes,
           case when r.lanes > 0 then coalesce(w.payload #>> r.key_path, w.key) end as key
      from wanted w
      join cortex.routes r on r.type = w.emitted_type
     where v_handler is null or r.handler_id = v_handler
     union all
    select distinct on (w.id, s.handler_id) w.id, s.handler_id, false, 0::smallint, null
      from wanted w
      join cortex.subscriptions s on cortex.type_matches(w.emitted_type, s.pattern)
     where not w.is_known
       and (v_handler is null or s.handler_id = v_handler)),
  queued as materialized (
    select d.event, d.handler_id, max(d.generation) as generation
      from cortex.deliveries d
     where d.handler_id in (select r.handler_id from routed r)
       and d.event between (select min(w.id) from wanted w) and (select max(w.id) from wanted w)
     group by d.event, d.handler_id),
  -- up_to counts the deliveries of this event and of all before it: an event has all of its deliveries made, or none.
  due as (
    select w.*, r.handler_id, r.held, r.lanes, r.key as lane_key,
           count(r.handler_id) over (order by w.id) as up_to,
           min(w.id) filter (where r.handler_id is not null) over () as first_delivered
      from wanted w
      left join routed r on r.id = w.id
     where r.id is not null or replay.handler is null or replay.day is null),
  kept as (
    select d.* from due d where d.up_to <= replay.max_deliveries or d.id = d.first_delivered)
  select (select count(*) from looked), (select max(l.id) from looked l),
         (select min(d.id) from due d where d.up_to > replay.max_deliveries and d.id <> d.first_delivered),
         coalesce(array_agg(row(
           k.id, k.received_at, k.type, k.handler_id,
           1 + greatest(q.generation, a.generation, 0),
           case when k.handler_id is null then null when k.held then -1 when k.lane_key is not null then cortex.lane_of(k.lane_key, k.lanes) else 0 end,
           case when k.lanes > 0 then 'medium' else k.priority end,
           k.run_at, k.lane_key)::cortex.replayed_row order by k.id, k.handler_id), '{}'),
         array_agg(cortex.public_event_id(k.id, k.received_at, k.event_id) order by k.id, k.handler_id)
    into v_looked, v_last, v_stop, v_rows, v_public
    from kept k
    left join queued q on q.event = k.id and q.handler_id = k.handler_id
    left join lateral (
           select max(x.generation) as generation
             from cortex.attempts x
            where x.event = k.id and x.event_at = k.received_at and x.handler_id = k.handler_id) a on true;

  if not replay.dry_run then
    for v_lane in
      select distinct r.handler_id, r.lane from unnest(v_rows) r where r.lane > 0 order by 1, 2
    loop
      if not cortex.bump_lane(v_lane.handler_id, v_lane.lane) then
        select least(v_stop, min(r.event)) into v_stop
          from unnest(v_rows) r where (r.handler_id, r.lane) = (v_lane.handler_id, v_lane.lane);
      end if;
    end loop;
    if v_stop is not null and v_stop = (select min(r.event) from unnest(v_rows) r) then
      perform cortex.refuse_action('event_id', 'must not share its lane with what runs for longer than two seconds; try again',
                                   v_public[1]);
    end if;

    insert into cortex.deliveries (handler_id, lane, priority, run_at, event, event_at, generation, key)
    select r.handler_id, r.lane, r.priority, greatest(r.run_at, clock_timestamp()), r.event, r.event_at, r.generation, r.key
      from unnest(v_rows) r
     where r.handler_id is not null
       and (v_stop is null or r.event < v_stop);
    if found then
      perform cortex.wake(array(select distinct r.handler_id from unnest(v_rows) r where r.handler_id is not null));
    end if;
  end if;

  return query
  select r.event, r.event_at, p.public_id, r.type, h.name, case when h.name is not null then r.generation end, null::bigint
    from unnest(v_rows) with ordinality as r(event, event_at, type, handler_id, generation, lane, priority, run_at, key, n)
    join unnest(v_public) with ordinality as p(public_id, n) on p.n = r.n
    left join cortex.handlers h on h.handler_id = r.handler_id
   where v_stop is null or r.event < v_stop
   order by r.n;

  looked_to := case
                 when v_stop is not null then v_stop - 1
                 when replay.event_id is null and v_looked = v_look then v_last
               end;
  if not replay.dry_run then
    perform cortex.record_action(
      'replay',
      jsonb_build_object('event_id', replay.event_id, 'day', replay.day, 'type', replay.type, 'source', replay.source,
                         'priority', replay.priority, 'correlation_id', replay.correlation_id, 'handler', replay.handler,
                         'after', nullif(replay.after, 0)),
      replay.reason, null,
      (select jsonb_build_object('deliveries', count(r.handler_id),
                                 'event_ids', coalesce(jsonb_agg(distinct p.public_id) filter (where r.handler_id is not null), '[]'))
         from unnest(v_rows) with ordinality as r(event, event_at, type, handler_id, generation, lane, priority, run_at, key, n)
         join unnest(v_public) with ordinality as p(public_id, n) on p.n = r.n
        where v_stop is null or r.event < v_stop));
  end if;
  if looked_to is not null then
    event := null;
    event_at := null;
    replayed := null;
    event_type := null;
    delivery_to := null;
    generation := null;
    return next;
  end if;
end
$$;

comment on function cortex.replay is 'Delivers recorded events again, each as a new generation, to the handlers that subscribe to them now.';

revoke all on function cortex.replay from public;
grant execute on function cortex.replay to ${operator};
