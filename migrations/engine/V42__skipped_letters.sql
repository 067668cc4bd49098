-- A handler that begins to skip dead letters goes on with the keys that some of them hold already.
-- Locks: none but those of the catalogue. Run before the code's deploy.

set local role ${owner};

-- As in V21, and besides: another word on dead letters has every lane looked at anew.
-- Locks: as in V21, and the rows of lanes, by lane, each of which waits for the worker in it (2 s; the start that asks
-- for it is tried again).
create or replace function cortex.order_handler(p_handler smallint, p_lanes smallint, p_when_dead text, p_key_paths jsonb) returns smallint
language plpgsql security definer set search_path = cortex, pg_temp set lock_timeout = '2s' as $$
declare
  v_handler cortex.handlers;
  v_lanes   smallint;
  v_lane    smallint;
  v_name    text;
begin
  select * into v_handler from cortex.handlers h where h.handler_id = p_handler;
  if v_handler.retiring is not null or p_lanes = 0 and v_handler.lanes = 0 then
    return v_handler.lanes;
  end if;
  select k.pattern into v_name
    from jsonb_object_keys(p_key_paths) k(pattern)
   where not exists (select from cortex.subscriptions s where s.handler_id = p_handler and s.pattern = k.pattern);
  if found then
    perform cortex.refuse_action('key_path', 'must be of a pattern that handler ' || v_handler.name || ' subscribes to', v_name);
  end if;
  if v_handler.when_dead <> p_when_dead then
    update cortex.handlers h set when_dead = p_when_dead where h.handler_id = p_handler;
    for v_lane in select l.lane from cortex.lanes l where l.handler_id = p_handler order by l.lane loop
      update cortex.lanes l set version = l.version + 1 where (l.handler_id, l.lane) = (p_handler, v_lane);
    end loop;
  end if;

  v_lanes := case when p_lanes > 0 and v_handler.lanes > 0 then v_handler.lanes else p_lanes end;
  if exists (select from cortex.subscriptions s where s.handler_id = p_handler and s.subscribed_by <> pg_current_xact_id())
     and (v_lanes <> v_handler.lanes
          or exists (select from cortex.subscriptions s
                      where s.handler_id = p_handler
                        and s.subscribed_by <> pg_current_xact_id()
                        and s.key_path is distinct from cortex.key_path_in(p_key_paths, s.pattern)))
  then
    perform set_config('lock_timeout', '50ms', true);
    lock table cortex.events in share mode;
    if exists (select from cortex.deliveries d where d.handler_id = p_handler) then
      perform cortex.refuse_action('order', 'changes only while handler ' || v_handler.name || ' has no open deliveries (or by cortex.set_lanes)',
                                   v_lanes || ' lanes');
    end if;
  end if;

  update cortex.subscriptions s
     set key_path = cortex.key_path_in(p_key_paths, s.pattern)
   where s.handler_id = p_handler
     and s.key_path is distinct from cortex.key_path_in(p_key_paths, s.pattern);
  if v_lanes <> v_handler.lanes then
    update cortex.handlers h set lanes = v_lanes where h.handler_id = p_handler;
  end if;
  insert into cortex.lanes (handler_id, lane) select p_handler, l from generate_series(1, v_lanes) l on conflict do nothing;
  return v_lanes;
end
$$;

-- As in V18, but that a dead letter at the front of a key waits for nothing where the handler skips such: the next
-- claim finds the key due.
create or replace function cortex.review_blocked_keys(p_handler smallint, p_lane smallint, p_floor bigint) returns void
language plpgsql set search_path = cortex, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
declare
  v_skips constant boolean := (select h.when_dead = 'skip' from cortex.handlers h where h.handler_id = p_handler);
begin
  with reviewed as materialized (
    select b.ctid as tid,
           case when coalesce(own.event, held.event) is not null then least(own.event, held.event, p_floor) end as event,
           case when held.event < coalesce(own.event, held.event + 1) then 'infinity'
                when own.run_at = 'infinity' and v_skips then clock_timestamp()
                else own.run_at end as blocked_until
      from cortex.blocked_keys b
      left join lateral (
             select d.event, d.run_at
               from cortex.deliveries d
              where d.handler_id = p_handler and cortex.key_hash(d.key) = cortex.key_hash(b.key) and d.key = b.key and d.lane = p_lane
              order by d.event
              limit 1) own on true
      left join lateral (
             select d.event
               from cortex.deliveries d
              where d.handler_id = p_handler and cortex.key_hash(d.key) = cortex.key_hash(b.key) and d.key = b.key and d.lane = -1
              order by d.event
              limit 1) held on true
     where b.handler_id = p_handler
       and b.lane = p_lane),
  gone as (
    delete from cortex.blocked_keys b using reviewed r where b.ctid = r.tid and r.event is null)
  update cortex.blocked_keys b
     set (event, blocked_until) = (r.event, r.blocked_until)
    from reviewed r
   where b.ctid = r.tid
     and r.event is not null
     and (b.event, b.blocked_until) is distinct from (r.event, r.blocked_until);
end
$$;

-- As in V18, and says so in the audit, as settling does: these were born dead, or died while the handler still held
-- their keys.
create or replace function cortex.without_dead(p_handler smallint, p_lane smallint, p_seen cortex.lane_row[]) returns cortex.lane_row[]
language plpgsql set search_path = cortex, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
begin
  if not exists (select from unnest(p_seen) s where s.run_at = 'infinity') then
    return p_seen;
  end if;
  with moved as (
    update cortex.deliveries d
       set lane = 0
      from unnest(p_seen) s
     where s.run_at = 'infinity'
       and d.ctid = s.tid
       and (d.handler_id, d.lane, d.event, d.generation) = (p_handler, p_lane, s.event, s.generation)
    returning d.event, d.event_at, d.generation
  )
  insert into cortex.attempts (
         event, event_at, started_at, finished_at, outcome, handler_id, generation, attempt, reason, error)
  select m.event, m.event_at, now(), now(), 'dead', p_handler, m.generation, 0, 'key_skipped',
         'the later events of its key go on without it'
    from moved m;
  return array(select s from unnest(p_seen) s where s.run_at < 'infinity');
end
$$;
