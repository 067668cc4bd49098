-- How many batches of a handler may run at once in the whole cluster, for handlers of every mode.
-- Locks: ACCESS EXCLUSIVE on handlers for columns without a volatile default, for milliseconds. Run before the code's
-- deploy.
--
-- A limited handler has a row per place. Who runs a batch has one of them locked, from before its claim to the end of
-- its transaction: so the limit holds whatever dies, nothing is counted, no row is written, and who finds no place waits
-- for nothing. Rows have an ACL, which advisory locks have not.

set local role ${owner};

create table cortex.handler_places (
  handler_id smallint not null,
  place      smallint not null,
  primary key (handler_id, place)
);

comment on table cortex.handler_places is 'Of a limited handler: one row for each batch that may run at once, locked by who runs one.';

alter table cortex.handlers
  add column declared_running smallint,
  add column limit_is_ordered boolean not null default false,
  add constraint declared_running_is_positive check (declared_running > 0);

update cortex.handlers set declared_running = max_running where max_running is not null;

comment on column cortex.handlers.max_running is 'Batches, or leases, that may run at once in the whole cluster; null: no limit.';
comment on column cortex.handlers.declared_running is 'What the code of the last worker that started with it declares; null: no limit.';
comment on column cortex.handlers.limit_is_ordered is 'An operator has set max_running, and what the code declares does not count.';

-- Takes a place of a handler for the rest of the transaction; true also where it has no limit.
-- Locks: FOR NO KEY UPDATE on the place, SKIP LOCKED. Index: the primary key.
create function cortex.take_place(p_handler smallint) returns boolean
language plpgsql set search_path = cortex, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off
as $$
declare
  v_max smallint;
begin
  select h.max_running into v_max from cortex.handlers h where h.handler_id = p_handler and h.mode <> 'leased';
  if v_max is null then
    return true;
  end if;
  perform from cortex.handler_places p
    where p.handler_id = p_handler and p.place <= v_max
    order by p.place
    limit 1
      for no key update skip locked;
  return found;
end
$$;

comment on function cortex.take_place is 'Takes one of the places of a limited handler for the transaction; false: all are taken.';

-- As in V7, and where the handler has a limit the caller takes a place first, for the rest of its transaction. Without
-- one it gets a single row whose tid is null. (Of a leased handler the leases are counted instead, by cortex.lease.)
-- Locks: a place, then as in V7.
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
set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
set jit = off  -- a plan node that is switched off costs enough to have the statement compiled
as $$
declare
  v_now         timestamptz := clock_timestamp();
  v_handler     cortex.handlers;
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
  select h.* into v_handler from cortex.handlers h where h.handler_id = p_handler;
  if v_handler.paused_at is not null then
    return;
  elsif v_handler.max_running is not null and v_handler.mode <> 'leased' and not cortex.take_place(p_handler) then
    return next;
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

create or replace function cortex.take_lane(
  p_handler smallint, p_lanes smallint[], p_from bigint[], p_since timestamptz[], p_versions bigint[],
  out lane smallint, out version bigint
)
language plpgsql
set search_path = cortex, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off
as $$
declare
  v_now timestamptz := clock_timestamp();
begin
  if exists (select from cortex.handlers h where h.handler_id = p_handler and h.paused_at is not null) then
    return;
  end if;
  for i in 1 .. cardinality(p_lanes) loop
    if exists (select from cortex.deliveries d
                where d.handler_id = p_handler and d.lane = p_lanes[i] and d.lane > 0 and d.event >= p_from[i]
                  and not exists (select from cortex.blocked_keys b where b.handler_id = p_handler and md5(b.key) = md5(d.key)))
       or exists (select from cortex.blocked_keys b
                   where b.handler_id = p_handler and b.lane = p_lanes[i] and b.blocked_until between p_since[i] and v_now)
       or exists (select from cortex.lanes l
                   where l.handler_id = p_handler and l.lane = p_lanes[i] and l.version <> p_versions[i])
    then
      select l.lane, l.version into take_lane.lane, take_lane.version
        from cortex.lanes l
       where l.handler_id = p_handler and l.lane = p_lanes[i]
         for no key update skip locked;
      if found then
        -- Whoever gets no place here has the lane for nothing, and gives it back at once.
        if not cortex.take_place(p_handler) then
          lane := null;
        end if;
        return;
      end if;
    end if;
  end loop;
end
$$;

create or replace function cortex.reclaim_in_lane(
  p_handler smallint, p_lane smallint, p_version bigint, p_from bigint,
  p_run_at timestamptz, p_event bigint, p_generation smallint, p_attempt smallint
) returns tid
language plpgsql set search_path = cortex, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set jit = off
as $$
declare
  v_tid tid;
begin
  perform from cortex.lanes l
    where l.handler_id = p_handler and l.lane = p_lane and l.version = p_version
      for no key update skip locked;
  if not found or not cortex.take_place(p_handler) then
    return null;
  end if;
  select d.ctid into v_tid
    from cortex.deliveries d
   where d.handler_id = p_handler
     and d.lane = p_lane and d.lane > 0
     and d.event = p_event
     and (d.run_at, d.generation, d.attempt) = (p_run_at, p_generation, p_attempt)
     and not exists (
           select from cortex.deliveries x
            where x.handler_id = p_handler and cortex.key_hash(x.key) = cortex.key_hash(d.key) and x.key = d.key
              and x.lane = p_lane and x.event between p_from and d.event - 1)
     and not ((select count(*) from cortex.held_types) > 0
              and exists (select from cortex.deliveries x
                           where x.handler_id = p_handler and cortex.key_hash(x.key) = cortex.key_hash(d.key)
                             and x.key = d.key and x.lane = -1 and x.event < d.event))
     for update of d skip locked;
  return v_tid;
end
$$;

-- Sets the limit that counts, and makes its places. A limit that is lowered holds for what begins after that.
create function cortex.apply_limit(p_handler smallint, p_max_running smallint) returns void
language sql set search_path = cortex, pg_temp as $$
  insert into cortex.handler_places (handler_id, place)
  select p_handler, n from generate_series(1, p_max_running) n
      on conflict do nothing;
  update cortex.handlers h
     set max_running = p_max_running
   where h.handler_id = p_handler
     and h.max_running is distinct from p_max_running
$$;

-- States what the code declares: as in V16, but that it does not touch what an operator has ordered.
create or replace function cortex.limit_running(p_handler smallint, p_max_running smallint) returns void
language plpgsql security definer set search_path = cortex, pg_temp as $$
begin
  -- The row's lock: an operator's word that comes now is waited for, and not overridden.
  perform from cortex.handlers h where h.handler_id = p_handler for no key update;
  update cortex.handlers h
     set declared_running = p_max_running
   where h.handler_id = p_handler
     and h.declared_running is distinct from p_max_running;
  if exists (select from cortex.handlers h
              where h.handler_id = p_handler
                and not h.limit_is_ordered
                and h.max_running is distinct from p_max_running)
  then
    perform cortex.apply_limit(p_handler, p_max_running);
  end if;
end
$$;

-- The operator's word on how many may run at once; null: as many as there are slots for. It stands, whatever workers
-- declare, until cortex.forget_limit. Counts for what begins after it.
-- Locks: the handler's row.
create function cortex.limit_handler(handler text, max_running integer, reason text) returns void
language plpgsql security definer set search_path = cortex, pg_temp as $$
declare
  v_id     smallint;
  v_before cortex.handlers;
begin
  perform cortex.check_action(reason);
  if max_running not between 1 and 1024 then
    perform cortex.refuse_action('max_running', 'must be 1 to 1024, or null for no limit', max_running::text);
  end if;
  v_id := cortex.handler_named(handler);
  select h.* into v_before from cortex.handlers h where h.handler_id = v_id for no key update;
  update cortex.handlers h set limit_is_ordered = true where h.handler_id = v_id and not h.limit_is_ordered;
  perform cortex.apply_limit(v_id, max_running::smallint);
  perform cortex.wake(array[v_id]);
  perform cortex.record_action(
    'limit_handler', jsonb_build_object('handler', handler), reason,
    jsonb_build_object('max_running', v_before.max_running, 'ordered', v_before.limit_is_ordered),
    jsonb_build_object('max_running', max_running, 'ordered', true));
end
$$;

-- What the code declares counts again.
create function cortex.forget_limit(handler text, reason text) returns void
language plpgsql security definer set search_path = cortex, pg_temp as $$
declare
  v_id     smallint;
  v_before cortex.handlers;
begin
  perform cortex.check_action(reason);
  v_id := cortex.handler_named(handler);
  select h.* into v_before from cortex.handlers h where h.handler_id = v_id for no key update;
  update cortex.handlers h set limit_is_ordered = false where h.handler_id = v_id and h.limit_is_ordered;
  perform cortex.apply_limit(v_id, v_before.declared_running);
  perform cortex.wake(array[v_id]);
  perform cortex.record_action(
    'forget_limit', jsonb_build_object('handler', handler), reason,
    jsonb_build_object('max_running', v_before.max_running, 'ordered', v_before.limit_is_ordered),
    jsonb_build_object('max_running', v_before.declared_running, 'ordered', false));
end
$$;

comment on function cortex.limit_handler is 'Limits how many batches of a handler run at once in the whole cluster; null: no limit.';
comment on function cortex.forget_limit is 'Lets the limit that a handler''s code declares count again.';

revoke all on function
       cortex.take_place, cortex.apply_limit, cortex.limit_handler, cortex.forget_limit
  from public;
grant execute on function cortex.take_place to ${worker};
grant execute on function cortex.limit_handler, cortex.forget_limit to ${operator};
grant select, update (place) on cortex.handler_places to ${worker};
grant select on cortex.handler_places to ${auditor}, ${operator};
