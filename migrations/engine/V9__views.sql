-- What everybody looks at: the log, the queue, the audit, the trace.
-- Locks: nothing that anyone else holds. Time: milliseconds. Run before the code's deploy.
--
-- Views run with their owner's rights, so that a reader needs none on the tables. None hides rows or columns from
-- those who may read it, so there is nothing that a leaky filter could bring out, and no security_barrier, which
-- would keep such filters (LIKE is one) from being applied early.

set local role ${owner};

-- A moment as the envelope writes it: UTC, whole seconds without a fraction (jq's fromdateiso8601 reads no other),
-- else six digits.
create function cortex.iso_time(p_moment timestamptz) returns text
language sql stable parallel safe as $$
  select to_char(p_moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS')
      || case when extract(microseconds from p_moment)::bigint % 1000000 = 0 then '' else to_char(p_moment, '.US') end
      || 'Z'
$$;

-- The envelope as one line of JSON in one fixed order: event_id, event_type, timestamp, source, correlation_id,
-- metadata, payload, then the extensions. Whatever the emitter left out is left out. Members of the objects within are in
-- the order of jsonb. Written as one expression over plain arguments, so that the planner inlines it.
create function cortex.event_line(
  p_event_id text, p_type text, p_occurred_at timestamptz, p_source text, p_correlation_id text,
  p_priority cortex.priority, p_metadata jsonb, p_payload jsonb, p_extensions jsonb
) returns text
language sql stable parallel safe as $$
  select '{"event_id": ' || to_json(p_event_id)::text
      || ', "event_type": ' || to_json(p_type)::text
      || ', "timestamp": "' || cortex.iso_time(p_occurred_at) || '"'
      || ', "source": ' || to_json(p_source)::text
      || coalesce(', "correlation_id": ' || to_json(p_correlation_id)::text, '')
      || coalesce(', "metadata": ' || case
           when p_priority is null then p_metadata::text
           else (coalesce(p_metadata, '{}') || jsonb_build_object('priority', p_priority))::text
         end, '')
      || coalesce(', "payload": ' || p_payload::text, '')
      || case when p_extensions <> '{}' then ', ' || substr(left(p_extensions::text, -1), 2) else '' end
      || '}'
$$;

comment on function cortex.event_line is 'An event''s envelope as one line of JSON.';

create view cortex.event_log as
select cortex.public_event_id(e.id, e.received_at, e.event_id) as event_id,
       coalesce(t.alias_of, e.type) as type,
       e.source, e.occurred_at, e.received_at, e.run_at, e.priority, e.correlation_id, e.causation_id,
       e.causation_depth, e.key, e.dedupe_key, e.log_only, e.payload, e.metadata, e.extensions,
       cortex.event_line(cortex.public_event_id(e.id, e.received_at, e.event_id), coalesce(t.alias_of, e.type),
                         e.occurred_at, e.source, e.correlation_id, e.priority, e.metadata, e.payload, e.extensions) as line,
       e.id
  from cortex.events e
  left join cortex.event_types t on t.type = e.type;

comment on view cortex.event_log is 'Every event. Filter by received_at to read few partitions, and by cortex.locate_event for one public id.';
comment on column cortex.event_log.type is 'The canonical type, also where the emitter used an alias.';
comment on column cortex.event_log.priority is 'Null where the emitter stated none, which is handled as medium.';
comment on column cortex.event_log.line is 'The envelope as one line of JSON.';
comment on column cortex.event_log.id is 'Order of insertion, not of commit: "id > last" misses events; see cortex.log_horizon.';

create view cortex.unknown_events as
select l.*
  from cortex.event_log l
 where not exists (select from cortex.event_types t where t.type = l.type);

comment on view cortex.unknown_events is 'Events of types that event_types does not list, as cortex.event_log.';

-- What a follower of the log has to know before it reads: the highest number given out, and the transactions that
-- are emitting. Whoever emits holds ROW EXCLUSIVE on the log from before it takes a number until after its commit
-- can be seen. So a number up to last_id which a later snapshot does not show belongs to one of the emitters, or to nobody
-- ever: once all of those have ended, a gap that is still there stays. Needs neither clocks nor privileges.
-- The number is read first and the locks second; the caller reads the log third, in another statement.
create function cortex.log_horizon(out last_id bigint, out emitters text[])
language plpgsql volatile security definer set search_path = cortex, pg_temp as $$
begin
  select case when s.is_called then s.last_value else s.last_value - 1 end into last_id from cortex.events_id_seq s;
  select coalesce(array_agg(distinct l.virtualtransaction), '{}') into emitters
    from pg_catalog.pg_locks l
   where l.locktype = 'relation'
     and l.database = (select d.oid from pg_catalog.pg_database d where d.datname = current_database())
     and l.relation in (select p.relid from pg_catalog.pg_partition_tree('cortex.events') p)
     and l.mode = 'RowExclusiveLock'
     and l.granted
     and l.pid is distinct from pg_backend_pid();
end
$$;

comment on function cortex.log_horizon is 'The highest event number given out, and the transactions that are emitting: what a follower reads before the log.';

-- The state of the queue per handler and priority. No count goes beyond 10,001, which means "more than 10,000", so
-- that a backlog of millions costs no more than one of ten thousand.
--
-- The plan is pinned as in cortex.claim: one bounded probe of deliveries_due per handler, priority and lane.
-- running comes from cortex.slots and the leases; a delivery in a batch too short for a slot counts as available.
create function cortex.queue_counts() returns table (
  handler text, priority cortex.priority, paused boolean, available bigint, scheduled bigint, running bigint,
  retrying bigint, held bigint, dead bigint, oldest_due timestamptz
)
language sql stable security definer set search_path = cortex, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
  with in_slots as materialized (
    select s.handler_id,
           case when h.lanes > 0 then 'medium' else coalesce(e.priority, 'medium') end as priority,
           count(*) as running
      from cortex.slots s
      join cortex.workers w on w.worker_id = s.worker_id and w.stopped_at is null
      join cortex.handlers h on h.handler_id = s.handler_id
     cross join lateral unnest(s.events) as running(event)
      left join cortex.events e on e.id = running.event
     group by 1, 2)
  select h.name, p.priority, h.paused_at is not null,
         greatest(due.n - coalesce(r.running, 0), 0),
         later.scheduled,
         coalesce(r.running, later.leased),
         later.retrying,
         held.n,
         dead.n,
         first.run_at
    from cortex.handlers h
   cross join unnest(enum_range(null::cortex.priority)) as p(priority)
    left join in_slots r on r.handler_id = h.handler_id and r.priority = p.priority
   cross join lateral (
     select count(*) as n
       from (select from generate_series(0, h.lanes) as l(lane)
              cross join lateral (
                select from cortex.deliveries d
                 where d.handler_id = h.handler_id and d.lane = l.lane and d.priority = p.priority
                   and d.run_at <= statement_timestamp()
                 limit 10001) d
              limit 10001) few) due
   cross join lateral (
     select count(*) filter (where few.leased_by is null and few.attempt = 0) as scheduled,
            count(*) filter (where few.leased_by is null and few.attempt > 0) as retrying,
            count(*) filter (where few.leased_by is not null) as leased
       from (select d.leased_by, d.attempt
               from generate_series(0, h.lanes) as l(lane)
              cross join lateral (
                select d.leased_by, d.attempt from cortex.deliveries d
                 where d.handler_id = h.handler_id and d.lane = l.lane and d.priority = p.priority
                   and d.run_at > statement_timestamp() and d.run_at < 'infinity'
                 limit 10001) d
              limit 10001) few) later
   cross join lateral (
     select count(*) as n
       from (select from cortex.deliveries d
              where d.handler_id = h.handler_id and d.lane = -1 and d.priority = p.priority and d.run_at < 'infinity'
              limit 10001) few) held
   cross join lateral (
     select count(*) as n
       from (select from generate_series(-1, h.lanes) as l(lane)
              cross join lateral (
                select from cortex.deliveries d
                 where d.handler_id = h.handler_id and d.lane = l.lane and d.priority = p.priority and d.run_at = 'infinity'
                 limit 10001) d
              limit 10001) few) dead
   cross join lateral (
     select min(d.run_at) as run_at
       from generate_series(0, h.lanes) as l(lane)
      cross join lateral (
        select d.run_at from cortex.deliveries d
         where d.handler_id = h.handler_id and d.lane = l.lane and d.priority = p.priority
           and d.run_at <= statement_timestamp()
         order by d.run_at
         limit 1) d) first
$$;

create view cortex.queue_status as
select q.* from cortex.queue_counts() q order by q.handler, q.priority;

comment on view cortex.queue_status is 'The queue per handler and priority; a count of 10001 means more than 10,000.';
comment on column cortex.queue_status.oldest_due is 'Since when the oldest delivery that could be claimed has been due.';

create view cortex.handler_status as
select h.name as handler, h.mode, h.lanes, h.max_attempts, h.max_running, h.time_budget, h.paused_at, h.registered_at,
       array(select s.pattern from cortex.subscriptions s where s.handler_id = h.handler_id order by s.pattern) as patterns
  from cortex.handlers h;

comment on view cortex.handler_status is 'The known handlers and what they subscribe to.';

create view cortex.audit as
select cortex.public_event_id(a.event, a.event_at, e.event_id) as event_id,
       coalesce(t.alias_of, e.type) as type,
       h.name as handler, a.generation, a.attempt, a.outcome, a.reason, a.error, w.name as worker,
       a.started_at, a.finished_at, a.finished_at - a.started_at as duration, a.event, a.event_at
  from cortex.attempts a
  left join cortex.handlers h on h.handler_id = a.handler_id
  left join cortex.workers w on w.worker_id = a.worker_id
  left join cortex.events e on e.id = a.event and e.received_at = a.event_at
  left join cortex.event_types t on t.type = e.type;

comment on view cortex.audit is 'Every attempt of every delivery with its event. For one event: cortex.audit_of.';
comment on column cortex.audit.attempt is '0: the delivery ended without an attempt.';

create function cortex.audit_of(event_id text) returns setof cortex.audit
language sql stable security definer set search_path = cortex, pg_temp as $$
  select a.*
    from cortex.locate_event(audit_of.event_id) l
    join cortex.audit a on a.event = l.id and a.event_at = l.received_at
   order by a.handler, a.generation, a.finished_at, a.attempt
   limit 10000
$$;

comment on function cortex.audit_of is 'The attempts of one event''s deliveries, by its public id.';

-- Index: deliveries_dead, then attempts_event once per row.
create view cortex.dead_letters as
select h.name as handler,
       cortex.public_event_id(d.event, d.event_at, e.event_id) as event_id,
       coalesce(t.alias_of, e.type) as type,
       e.source, d.priority, d.generation, d.attempt as attempts, last.finished_at as died_at, last.reason, last.error,
       d.event, d.event_at
  from cortex.deliveries d
  join cortex.handlers h on h.handler_id = d.handler_id
  left join cortex.events e on e.id = d.event and e.received_at = d.event_at
  left join cortex.event_types t on t.type = e.type
  left join lateral (
    select a.finished_at, a.reason, a.error
      from cortex.attempts a
     where a.event = d.event and a.handler_id = d.handler_id and a.generation = d.generation
     order by a.finished_at desc, a.attempt desc
     limit 1) last on true
 where d.run_at = 'infinity';

comment on view cortex.dead_letters is 'Deliveries that failed for the last time, with why.';
comment on column cortex.dead_letters.died_at is 'When the last attempt ended.';

-- The deliveries of these events (parallel arrays of numbers and times of receipt), open and finished, each once.
-- For open ones it reads the queue once, whatever the number of events: there is no index by event, which
-- every emitted and every acknowledged delivery would pay for.
create function cortex.deliveries_of_all(p_events bigint[], p_event_ats timestamptz[])
returns table (event bigint, handler text, generation smallint, state text, attempts smallint, run_at timestamptz,
               finished_at timestamptz, reason text, error text)
language sql stable security definer set search_path = cortex, pg_temp set jit = off as $$
  select coalesce(o.event, l.event), coalesce(o.handler, h.name), coalesce(o.generation, l.generation),
         coalesce(o.state, case l.outcome
                             when 'done' then 'completed' when 'cancel' then 'cancelled' when 'expire' then 'expired'
                             else 'unknown' end),
         coalesce(o.attempts, l.attempts), o.run_at, l.finished_at, l.reason, l.error
    from (select * from cortex.open_deliveries o where o.event = any (p_events)) o
    full join (
      select distinct on (a.event, a.handler_id, a.generation)
             a.event, a.handler_id, a.generation, a.outcome, a.finished_at, a.reason, a.error,
             max(a.attempt) over (partition by a.event, a.handler_id, a.generation) as attempts
        from unnest(p_events, p_event_ats) as e(event, event_at)
        join cortex.attempts a on a.event = e.event and a.event_at = e.event_at
       order by a.event, a.handler_id, a.generation, a.finished_at desc, a.attempt desc) l
      on l.event = o.event and l.handler_id = o.handler_id and l.generation = o.generation
    left join cortex.handlers h on h.handler_id = l.handler_id
   order by 1, 2, 3
$$;

create function cortex.deliveries_of(event_id text)
returns table (handler text, generation smallint, state text, attempts smallint, run_at timestamptz,
               finished_at timestamptz, reason text, error text)
language sql stable security definer set search_path = cortex, pg_temp set jit = off as $$
  select d.handler, d.generation, d.state, d.attempts, d.run_at, d.finished_at, d.reason, d.error
    from cortex.locate_event(deliveries_of.event_id) l
   cross join lateral cortex.deliveries_of_all(array[l.id], array[l.received_at]) d
$$;

comment on function cortex.deliveries_of is 'The deliveries of one event, by its public id: open and finished, with their states.';

-- What belongs to a correlation id or a public event id: the chain of causes above it, all that followed, and
-- everything of the same correlation; ordered for drawing a tree, a cause before what it caused.
--
-- A cause is older than its effect and so has a lower number. Only such links are followed: no circle of ids
-- that emitters gave can hold the walk, up or down. At most max_events events, found level by level.
-- Indexes: events_causation, events_correlation.
create function cortex.trace(id text, max_events integer default 1000)
returns table (depth integer, event_id text, type text, source text, occurred_at timestamptz, causation_id text,
               correlation_id text, deliveries jsonb)
language plpgsql stable security definer set search_path = cortex, pg_temp set jit = off as $$
#variable_conflict use_column
declare
  v_ids         bigint[] := '{}';
  v_ats         timestamptz[] := '{}';
  v_publics     text[] := '{}';
  v_level       text[];
  v_correlation text[] := array[trace.id];
  v_cause       text := trace.id;
  v_below       bigint := 9223372036854775807;
  v_before      integer;
  v_event       record;
begin
  if trace.max_events is null or trace.max_events not between 1 and 10000 then
    perform cortex.refuse_action('max_events', 'must be 1 to 10000', trace.max_events::text);
  end if;

  -- Up: the event itself, its cause, the cause of that.
  loop
    select e.id, e.received_at, e.causation_id, e.correlation_id into v_event
      from cortex.locate_event(v_cause) l
      join cortex.events e on e.id = l.id and e.received_at = l.received_at
     where e.id < v_below;
    exit when not found or cardinality(v_ids) >= trace.max_events;
    v_ids := v_ids || v_event.id;
    v_ats := v_ats || v_event.received_at;
    v_publics := v_publics || v_cause;
    if v_event.correlation_id is not null and v_below = 9223372036854775807 then
      v_correlation := v_correlation || v_event.correlation_id;
    end if;
    v_below := v_event.id;
    v_cause := v_event.causation_id;
  end loop;

  -- Beside: the same correlation. Then down from all of those, one level at a time.
  v_level := v_publics;
  loop
    v_before := cardinality(v_ids);
    with more as (
      select e.id, e.received_at, cortex.public_event_id(e.id, e.received_at, e.event_id) as public_id
        from cortex.events e
       where e.correlation_id = any (v_correlation)
       union
      select e.id, e.received_at, cortex.public_event_id(e.id, e.received_at, e.event_id)
        from cortex.events e
       where e.causation_id = any (v_level)),
    few as (
      select m.* from more m where m.id <> all (v_ids) order by m.id limit greatest(trace.max_events - v_before, 0))
    select v_ids || coalesce(array_agg(f.id), '{}'), v_ats || coalesce(array_agg(f.received_at), '{}'),
           v_publics || coalesce(array_agg(f.public_id), '{}'), coalesce(array_agg(f.public_id), '{}')
      into v_ids, v_ats, v_publics, v_level
      from few f;
    v_correlation := '{}';
    exit when cardinality(v_ids) = v_before;
  end loop;

  return query
    with recursive node as materialized (
      select e.id, n.public_id, coalesce(t.alias_of, e.type) as type, e.source, e.occurred_at, e.causation_id, e.correlation_id
        from unnest(v_ids, v_ats, v_publics) as n(id, received_at, public_id)
        join cortex.events e on e.id = n.id and e.received_at = n.received_at
        left join cortex.event_types t on t.type = e.type),
    linked as materialized (
      select n.*, (select c.id from node c where c.public_id = n.causation_id and c.id < n.id) as cause from node n),
    tree as (
      select l.id, 0 as depth, array[l.id] as path from linked l where l.cause is null
       union all
      select l.id, t.depth + 1, t.path || l.id from linked l join tree t on l.cause = t.id),
    summary as (
      select d.event, jsonb_agg(jsonb_build_object(
               'handler', d.handler, 'generation', d.generation, 'state', d.state, 'attempts', d.attempts)) as deliveries
        from cortex.deliveries_of_all(v_ids, v_ats) d
       group by d.event)
    select t.depth, l.public_id, l.type, l.source, l.occurred_at, l.causation_id, l.correlation_id, coalesce(s.deliveries, '[]')
      from tree t
      join linked l on l.id = t.id
      left join summary s on s.event = t.id
     order by t.path;
end
$$;

comment on function cortex.trace is 'What caused an event, or belongs to a correlation, and all that followed, as a tree.';

-- A view's functions are called with the reader's rights, whatever rights the view has on the tables.
grant select on
      cortex.event_log, cortex.unknown_events, cortex.open_deliveries, cortex.queue_status, cortex.handler_status,
      cortex.audit, cortex.dead_letters
   to ${auditor}, ${operator};
grant execute on function
      cortex.public_event_id, cortex.locate_event, cortex.type_matches, cortex.iso_time, cortex.event_line,
      cortex.log_horizon, cortex.queue_counts, cortex.audit_of, cortex.deliveries_of, cortex.deliveries_of_all,
      cortex.trace
   to ${auditor}, ${operator};
