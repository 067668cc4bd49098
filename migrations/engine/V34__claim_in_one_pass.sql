-- Claiming at a lower price: the events of a claim are fetched in one pass over the log's index and hashed to their
-- deliveries, not looked up one by one; nor is the type of each looked up, where no type has an alias.
-- Locks: SHARE on event_types, for milliseconds. Run before or after the code's deploy: nothing that calls it changes.

set local role ${owner};

-- Whose types a claim has to translate. Most installations have none or a few.
create index event_types_aliases on cortex.event_types (type) where alias_of is not null;

-- Locks up to p_limit due deliveries of one handler and lane, by priority, then run_at, then event, and returns
-- them with their events. The caller acknowledges them by their ctid before its transaction ends: a ctid must
-- never outlive the transaction that locked it.
--
--   p_from_at, p_from_event, p_to_at, p_to_event: one bound per priority, critical first. Claimed are rows with
--     from <= (run_at, event) < to. A claim runs from the worker's low-water mark to infinity, a sweep below it.
--   event_found is false where retention has dropped the event.
--
-- Locks: FOR UPDATE on the returned deliveries, SKIP LOCKED. Indexes: deliveries_due, one bounded probe a priority; the
-- primary key of events, one scan for all ids a partition; event_types_aliases.
--
-- The SETs pin the plan. A queue table is analysed when it is empty, and a planner that believes that reads and
-- sorts the whole backlog for every claim, dead rows included (measured: half the throughput). They are the
-- function's, not the session's, because the handler runs its own statements on the same connection.
create or replace function cortex.claim(
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
set enable_nestloop = off set enable_mergejoin = off
set jit = off  -- a plan node that is switched off costs enough to have the statement compiled
as $$
declare
  v_now         timestamptz := clock_timestamp();
  v_priorities  cortex.priority[] := enum_range(null::cortex.priority);  -- once: it reads the catalog
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
    v_priority := v_priorities[i];

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

    -- first_at and last_at prune the partitions when the query starts. The series, taken for a thousand rows whatever
    -- the claim, keeps its place outside of the hash, so that the deliveries come in their order. The left join keeps a
    -- delivery whose event is gone, which would else be claimed and never returned.
    return query
    select c.tid, c.event, c.event_at, c.run_at, v_priority, c.generation, c.attempt, e.id is not null,
           e.event_id, coalesce(t.alias_of, e.type), e.source, e.occurred_at, e.correlation_id, e.causation_id,
           e.causation_depth, e.key, e.payload::text, e.metadata::text
      from (select v_tids[n] as tid, v_events[n] as event, v_event_ats[n] as event_at, v_run_ats[n] as run_at,
                   v_generations[n] as generation, v_attempts[n] as attempt
              from generate_series(1, v_claimed) n) c
      left join cortex.events e
        on e.id = any (v_events)
       and e.received_at between v_first_at and v_last_at
       and (e.id, e.received_at) = (c.event, c.event_at)
      left join cortex.event_types t on t.type = e.type and t.alias_of is not null;

    v_left := v_left - v_claimed;
    exit when v_left <= 0;
  end loop;
end
$$;
