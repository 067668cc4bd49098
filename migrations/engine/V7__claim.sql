-- Claiming, and what a worker asks before it sleeps.
-- Locks: nothing that anyone else holds. Time: milliseconds. Run before the code's deploy.

set local role ${owner};

-- Locks up to p_limit due deliveries of one handler and lane, by priority, then run_at, then event, and returns
-- them with their events. The caller acknowledges them by their ctid before its transaction ends: a ctid must
-- never outlive the transaction that locked it.
--
--   p_from_at, p_from_event, p_to_at, p_to_event: one bound per priority, critical first. Claimed are rows with
--     from <= (run_at, event) < to. A claim runs from the worker's low-water mark to infinity, a sweep below it.
--   event_found is false where retention has dropped the event.
--
-- Locks: FOR UPDATE on the returned deliveries, SKIP LOCKED. Index: deliveries_due, one bounded probe a priority.
--
-- The SETs pin the plan. A queue table is analysed when it is empty, and a planner that believes that reads and
-- sorts the whole backlog for every claim, dead rows included (measured: half the throughput). They are the
-- function's, not the session's, because the handler runs its own statements on the same connection.
create function cortex.claim(
  p_handler    smallint,
  p_lane       smallint,
  p_from_at    timestamptz[],
  p_from_event bigint[],
  p_to_at      timestamptz[],
  p_to_event   bigint[],
  p_limit      integer
) returns table (
  tid             tid,
  event           bigint,
  event_at        timestamptz,
  run_at          timestamptz,
  priority        cortex.priority,
  generation      smallint,
  attempt         smallint,
  event_found     boolean,
  event_id        text,
  type            text,
  source          text,
  occurred_at     timestamptz,
  correlation_id  text,
  causation_id    text,
  causation_depth smallint,
  key             text,
  payload         text,
  metadata        text
)
language plpgsql
set search_path = cortex, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
set jit = off  -- a plan node that is switched off costs enough to have the statement compiled
as $$
declare
  v_now         timestamptz := clock_timestamp();
  v_left        integer := p_limit;
  v_claimed     integer;
  v_priority    cortex.priority;
  v_tids        tid[];
  v_events      bigint[];
  v_event_ats   timestamptz[];
  v_run_ats     timestamptz[];
  v_generations smallint[];
  v_attempts    smallint[];
  v_first_at    timestamptz;
  v_last_at     timestamptz;
begin
  if exists (select from cortex.handlers h where h.handler_id = p_handler and h.paused_at is not null) then
    return;
  end if;
  for i in 1 .. 4 loop
    v_priority := (enum_range(null::cortex.priority))[i];

    select array_agg(c.tid), array_agg(c.event), array_agg(c.event_at), array_agg(c.run_at),
           array_agg(c.generation), array_agg(c.attempt), min(c.event_at), max(c.event_at), count(*)
      into v_tids, v_events, v_event_ats, v_run_ats, v_generations, v_attempts, v_first_at, v_last_at, v_claimed
      from (select d.ctid as tid, d.event, d.event_at, d.run_at, d.generation, d.attempt
              from cortex.deliveries d
             where d.handler_id = p_handler
               and d.lane = p_lane
               and d.priority = v_priority
               and (d.run_at, d.event) >= (p_from_at[i], p_from_event[i])
               and (d.run_at, d.event) < (p_to_at[i], p_to_event[i])
               and d.run_at <= v_now
             order by d.run_at, d.event
             limit v_left
               for update skip locked) c;
    continue when v_claimed = 0;

    -- first_at and last_at prune the partitions when the query starts, the equality does for each row. The inner
    -- LIMIT pins the join order, which flipped on a fresh partition. The left join keeps a delivery whose event is
    -- gone, which would else be claimed and never returned.
    return query
    select c.tid, c.event, c.event_at, c.run_at, v_priority, c.generation, c.attempt, e.id is not null,
           e.event_id, coalesce(t.alias_of, e.type), e.source, e.occurred_at, e.correlation_id, e.causation_id,
           e.causation_depth, e.key, e.payload::text, e.metadata::text
      from unnest(v_tids, v_events, v_event_ats, v_run_ats, v_generations, v_attempts)
           as c(tid, event, event_at, run_at, generation, attempt)
      left join lateral (
             select x.*
               from cortex.events x
              where x.id = c.event
                and x.received_at = c.event_at
                and x.received_at between v_first_at and v_last_at
              limit 1) e on true
      left join cortex.event_types t on t.type = e.type;

    v_left := v_left - v_claimed;
    exit when v_left <= 0;
  end loop;
end
$$;

comment on function cortex.claim is 'Locks due deliveries of a handler for the caller''s transaction and returns them with their events.';

-- Which of these handlers have a delivery that could be claimed now, and when the next of the others is due. What
-- a worker asks before it goes to sleep, in one round trip for all its handlers; it looks from -infinity, below
-- every mark. A due row that somebody else holds counts for neither, so that an idle worker sleeps beside a busy one.
--
-- Locks: at most one delivery a handler, for the length of this statement when the caller is in auto-commit.
create function cortex.due_handlers(p_handlers smallint[])
returns table (handler_id smallint, is_due boolean, next_run_at timestamptz, checked_at timestamptz)
language plpgsql
set search_path = cortex, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off
as $$
declare
  v_priority cortex.priority;
  v_next     timestamptz;
begin
  foreach handler_id in array p_handlers loop
    is_due := false;
    next_run_at := null;
    checked_at := clock_timestamp();
    continue when exists (select from cortex.handlers h where h.handler_id = due_handlers.handler_id and h.paused_at is not null);
    foreach v_priority in array enum_range(null::cortex.priority) loop
      perform from cortex.deliveries d
        where d.handler_id = due_handlers.handler_id and d.lane = 0 and d.priority = v_priority and d.run_at <= checked_at
        order by d.run_at, d.event
        limit 1
          for update skip locked;
      is_due := found;
      exit when is_due;
      select d.run_at into v_next
        from cortex.deliveries d
       where d.handler_id = due_handlers.handler_id and d.lane = 0 and d.priority = v_priority
         and d.run_at > checked_at and d.run_at < 'infinity'
       order by d.run_at
       limit 1;
      next_run_at := least(next_run_at, v_next);
    end loop;
    return next;
  end loop;
end
$$;

-- A worker lives while its listening session holds the advisory lock (worker_lock_class, its id), so that liveness
-- needs no heartbeat row. Marks the workers that have lost theirs as vanished, clears their slots, wakes everybody
-- (whose marks may be above what is free again) and returns them.
-- Locks: the advisory lock and the row of each dead worker, until the transaction ends.
create function cortex.worker_lock_class() returns integer
language sql immutable parallel safe as $$ select 1129206869 $$;

create function cortex.bury_vanished_workers(p_self integer) returns setof integer
language plpgsql security definer set search_path = cortex, pg_temp as $$
declare
  v_vanished integer[];
begin
  with vanished as (
    update cortex.workers w
       set stopped_at = clock_timestamp(), vanished = true
     where w.worker_id = any (array(
             select x.worker_id
               from cortex.workers x
              where x.stopped_at is null
                and x.worker_id <> p_self
                and pg_try_advisory_xact_lock(cortex.worker_lock_class(), x.worker_id)))
       and w.stopped_at is null
    returning w.worker_id
  )
  select array_agg(worker_id) into v_vanished from vanished;
  if v_vanished is not null then
    delete from cortex.slots s where s.worker_id = any (v_vanished);
    perform pg_notify('cortex_wake', '');
  end if;
  return query select unnest(v_vanished);
end
$$;
