-- What waits behind a blocked key leaves the way of everybody who looks at its lane. Where nothing else was above a
-- worker's mark, every look at the lane walked over all of it: seconds for 300,000 events behind one dead letter, in
-- which the other keys of the handler waited too.
--
-- So a look ends after 32 deliveries of blocked keys, which are worth a claim: that passes them, and the mark with it.
-- Where the mark cannot pass them (an emitter is open), or a sweep comes by, the claim parks them: out of the index
-- that looks and scans of lanes read, into one of its own. Their keys serve them from there, by the index of keys, as
-- they do what is not parked. What is parked always belongs to a blocked key and is not before the event from which
-- that is served: who lets a key go has nothing of it left but what they handle in the same transaction, and what is
-- put into a lane is parked no more. While somebody holds a snapshot, looks walk over the index entries that parking has
-- left, until the mark passes them: a minute at most, since no emitter is waited for any longer.
-- Locks: ACCESS EXCLUSIVE on deliveries while two indexes are built, about a second per million open deliveries of
-- ordered handlers, and a look at the others. Run before the code's deploy.

set local role ${owner};

alter table cortex.deliveries add column parked boolean not null default false;
comment on column cortex.deliveries.parked is 'Its key is blocked, and the scan of its lane has passed it: it is only to be had by its key.';

drop index cortex.deliveries_lane;
create index deliveries_lane on cortex.deliveries (handler_id, lane, event) where lane > 0 and not parked;
create index deliveries_parked on cortex.deliveries (handler_id, lane, event) where parked;

create function cortex.put_into_lane() returns trigger
language plpgsql set search_path = cortex, pg_temp as $$
begin
  new.parked := false;
  return new;
end
$$;

revoke all on function cortex.put_into_lane from public;

-- Fires also where the lane is set to what it was, as a retry does: the scan of the lane may have to find it.
create trigger put_into_lane before update of lane on cortex.deliveries
  for each row when (old.parked) execute function cortex.put_into_lane();

-- As in V18, but that a look at a lane ends after 32 deliveries of blocked keys.
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
    if exists (select
                 from (select x.key
                         from cortex.deliveries x
                        where x.handler_id = p_handler and x.lane = p_lanes[i] and x.lane > 0 and not x.parked and x.event >= p_from[i]
                        order by x.event
                        limit 32) d
                where not exists (select from cortex.blocked_keys b where b.handler_id = p_handler and md5(b.key) = md5(d.key)))
       or exists (select from cortex.deliveries x
                   where x.handler_id = p_handler and x.lane = p_lanes[i] and x.lane > 0 and not x.parked and x.event >= p_from[i]
                   order by x.event
                  offset 31)
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
        return;
      end if;
    end if;
  end loop;
end
$$;

-- As in V18 but for the same.
create or replace function cortex.due_lanes(
  p_handlers smallint[], p_lanes smallint[], p_from bigint[], p_since timestamptz[], p_versions bigint[]
) returns table (handler_id smallint, is_due boolean, next_run_at timestamptz, checked_at timestamptz)
language plpgsql
set search_path = cortex, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set enable_sort = off
set jit = off
as $$
#variable_conflict use_column
declare
  v_now  timestamptz := clock_timestamp();
  v_lane record;
  v_due  smallint[] := '{}';
begin
  for v_lane in
    select w.handler_id, w.lane
      from unnest(p_handlers, p_lanes, p_from, p_since, p_versions) as w(handler_id, lane, mark, since, version)
     where exists (select
                     from (select x.key
                             from cortex.deliveries x
                            where x.handler_id = w.handler_id and x.lane = w.lane and x.lane > 0 and not x.parked and x.event >= w.mark
                            order by x.event
                            limit 32) d
                    where not exists (select from cortex.blocked_keys b
                                       where b.handler_id = w.handler_id and md5(b.key) = md5(d.key)))
        or exists (select from cortex.deliveries x
                    where x.handler_id = w.handler_id and x.lane = w.lane and x.lane > 0 and not x.parked and x.event >= w.mark
                    order by x.event
                   offset 31)
        or exists (select from cortex.blocked_keys b
                    where b.handler_id = w.handler_id and b.lane = w.lane and b.blocked_until between w.since and v_now)
        or exists (select from cortex.lanes l
                    where l.handler_id = w.handler_id and l.lane = w.lane and l.version <> w.version)
  loop
    continue when v_lane.handler_id = any (v_due);
    perform from cortex.lanes l
      where (l.handler_id, l.lane) = (v_lane.handler_id, v_lane.lane)
        for no key update skip locked;
    if found then
      v_due := v_due || v_lane.handler_id;
    end if;
  end loop;

  return query
  select w.handler_id,
         w.handler_id = any (v_due) and h.paused_at is null,
         case when h.paused_at is null then min(n.blocked_until) end,
         v_now
    from unnest(p_handlers, p_lanes) as w(handler_id, lane)
    join cortex.handlers h on h.handler_id = w.handler_id
    left join lateral (
           select b.blocked_until
             from cortex.blocked_keys b
            where b.handler_id = w.handler_id and b.lane = w.lane
              and b.blocked_until > v_now and b.blocked_until < 'infinity'
            order by b.blocked_until
            limit 1) n on true
   group by w.handler_id, h.paused_at;
end
$$;

-- Parks the deliveries of blocked keys of a lane from one number to before another one: for a claim that has just passed
-- them, p_to being where it came to, and which claimed nothing, so that nobody waits for its transaction. The caller
-- holds the lane.
-- Locks: FOR UPDATE on the deliveries, SKIP LOCKED. Indexes: deliveries_lane, blocked_keys_key.
create function cortex.park(p_handler smallint, p_lane smallint, p_from bigint, p_to bigint) returns void
language plpgsql set search_path = cortex, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
begin
  with passed as materialized (
    select d.ctid as tid
      from cortex.deliveries d
     where d.handler_id = p_handler and d.lane = p_lane and d.lane > 0 and not d.parked
       and d.event >= p_from and d.event < p_to
       and exists (select from cortex.blocked_keys b
                    where b.handler_id = p_handler and md5(b.key) = md5(d.key) and b.event <= d.event)
       for update of d skip locked)
  update cortex.deliveries d
     set parked = true
    from passed p
   where d.ctid = p.tid;
end
$$;

revoke all on function cortex.park from public;
grant execute on function cortex.park to ${worker};

drop function cortex.take_in_order(smallint, smallint, cortex.lane_row[], integer, bigint, timestamptz);
drop function cortex.claim_in_lane(smallint, smallint, bigint, bigint, timestamptz, boolean, integer);

-- As in V18, and tells where it came to: cut_at is the first that was one too many, null when there was none. Of those
-- that were not too many some may be locked, so that the number of the taken ones does not say it.
create function cortex.take_in_order(
  p_handler smallint, p_lane smallint, p_seen cortex.lane_row[], p_limit integer, p_floor bigint, p_now timestamptz,
  out taken cortex.lane_row[], out cut_at bigint
)
language plpgsql set search_path = cortex, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
begin
  with seen as materialized (
    select s.*,
           s.run_at > p_now as is_early,
           held.event as held_event,
           held.event is not null as is_held
      from unnest(p_seen) s
      left join lateral (
             select d.event
               from cortex.deliveries d
              where (select count(*) from cortex.held_types) > 0
                and d.handler_id = p_handler and cortex.key_hash(d.key) = cortex.key_hash(s.key) and d.key = s.key
                and d.lane = -1 and d.event < s.event
              order by d.event
              limit 1) held on true),
  judged as materialized (
    select s.*, bool_or(s.is_early or s.is_held) over (partition by s.key order by s.event, s.generation) as waits
      from seen s),
  ranked as materialized (
    select j.*, not j.waits and count(*) filter (where not j.waits) over (order by j.event, j.generation) > p_limit as is_too_many
      from judged j),
  -- Locked row by row, not in a join of two sets, which would have to be one of every pair. The statement that found
  -- them is past: a pause of their type may have moved them away meanwhile.
  decided as materialized (
    select c.tid, c.event, c.event_at, c.run_at, c.generation, c.attempt, c.key, l.tid is null as is_locked,
           bool_or(l.tid is null) over (partition by c.key order by c.event, c.generation) as waits
      from (select r.* from ranked r where not r.waits and not r.is_too_many) c
      left join lateral (
             select d.ctid as tid
               from cortex.deliveries d
              where d.ctid = c.tid
                and (d.handler_id, d.lane, d.event, d.generation) = (p_handler, p_lane, c.event, c.generation)
                for update skip locked) l on true),
  blocking as (
    insert into cortex.blocked_keys as b (handler_id, lane, key, event, blocked_until)
    select distinct on (o.key) p_handler, p_lane, o.key, least(o.event, p_floor), o.blocked_until
      from (select s.key, least(s.event, s.held_event) as event, case when s.is_held then 'infinity' else s.run_at end as blocked_until
              from (select r.*, bool_or(r.is_too_many) over (partition by r.key) as is_cut from ranked r) s
             where (s.is_early or s.is_held)
               and not s.is_cut
             union all
            select d.key, d.event, p_now + interval '1 second' from decided d where d.is_locked) o
     order by o.key, o.event
        on conflict (handler_id, md5(key)) do update
       set (event, blocked_until) = (excluded.event, excluded.blocked_until))
  select coalesce((select array_agg(row(d.tid, d.event, d.event_at, d.run_at, d.generation, d.attempt, d.key)::cortex.lane_row
                                    order by d.event, d.generation)
                     from decided d where not d.waits), '{}'),
         (select min(r.event) from ranked r where r.is_too_many)
    into taken, cut_at;
end
$$;

revoke all on function cortex.take_in_order from public;
grant execute on function cortex.take_in_order to ${worker};

-- As in V18, but past what is parked, and a scan passes at most some 2,000 deliveries of blocked keys. A key that has
-- caught up is let go after the scan, which would take again what is taken.
create function cortex.claim_in_lane(
  p_handler    smallint,
  p_lane       smallint,
  p_from       bigint,
  p_floor      bigint,
  p_since      timestamptz,
  p_is_changed boolean,
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
  metadata        text,
  scanned_to      bigint,
  looked_at       timestamptz
)
language plpgsql
set search_path = cortex, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
set enable_hashjoin = off set enable_mergejoin = off set enable_material = off
set jit = off
as $$
#variable_conflict use_column
declare
  -- A batch of one alternates by chance, so that neither side waits for the other for ever.
  v_asks_keys constant boolean := p_limit > 1 or random() < 0.5;
  v_now       constant timestamptz := clock_timestamp();
  v_from      bigint := p_from;
  v_looked_at timestamptz := p_since;
  v_skips     boolean;
  v_window    integer := p_limit;
  v_left      integer := p_limit;
  v_share     integer := greatest(p_limit / 2, 1);
  v_keys      text[];
  v_seen      cortex.lane_row[];
  v_taken     cortex.lane_row[] := '{}';
  v_step      record;
  v_cut_at    bigint;
  v_looked    integer;
  v_last      bigint;
  v_first_at  timestamptz;
  v_last_at   timestamptz;
begin
  if p_is_changed then
    perform cortex.review_blocked_keys(p_handler, p_lane, p_floor);
  end if;
  select h.when_dead = 'skip' into v_skips from cortex.handlers h where h.handler_id = p_handler;

  if v_asks_keys then
    v_keys := array(
      select b.key
        from cortex.blocked_keys b
       where b.handler_id = p_handler and b.lane = p_lane and b.blocked_until between p_since and v_now
       order by b.blocked_until
       limit 100);
    if cardinality(v_keys) > 0 then
      v_seen := array(
        select row(d.tid, d.event, d.event_at, d.run_at, d.generation, d.attempt, d.key)::cortex.lane_row
          from unnest(v_keys) k(key)
          join cortex.blocked_keys b on b.handler_id = p_handler and md5(b.key) = md5(k.key)
         cross join lateral (
               select x.ctid as tid, x.*
                 from cortex.deliveries x
                where x.handler_id = p_handler and cortex.key_hash(x.key) = cortex.key_hash(k.key) and x.key = k.key
                  and x.lane = p_lane and x.event >= b.event
                order by x.event
                limit v_share) d);
      if v_skips then
        v_seen := cortex.without_dead(p_handler, p_lane, v_seen);
      end if;
      select * into v_step from cortex.take_in_order(p_handler, p_lane, v_seen, v_share, p_floor, v_now);
      v_taken := v_step.taken;
      v_left := p_limit - cardinality(v_taken);
    end if;
  end if;

  for v_round in 1 .. 3 loop
    exit when v_left <= 0;
    select coalesce(array_agg(row(d.tid, d.event, d.event_at, d.run_at, d.generation, d.attempt, d.key)::cortex.lane_row)
                      filter (where b.key is null), '{}'),
           count(*), max(d.event)
      into v_seen, v_looked, v_last
      from (select x.ctid as tid, x.*
              from cortex.deliveries x
             where x.handler_id = p_handler and x.lane = p_lane and x.lane > 0 and not x.parked and x.event >= v_from
             order by x.event
             limit v_window) d
      left join cortex.blocked_keys b on b.handler_id = p_handler and md5(b.key) = md5(d.key);
    exit when v_looked = 0;

    v_cut_at := null;
    if v_skips then
      v_seen := cortex.without_dead(p_handler, p_lane, v_seen);
    end if;
    if cardinality(v_seen) > 0 then
      select * into v_step from cortex.take_in_order(p_handler, p_lane, v_seen, v_left, p_floor, v_now);
      v_taken := v_taken || v_step.taken;
      v_left := v_left - cardinality(v_step.taken);
      v_cut_at := v_step.cut_at;
    end if;
    -- One further only at the end: before it, another generation of the same event may follow.
    v_from := coalesce(v_cut_at, case when v_looked = v_window then v_last else v_last + 1 end);
    exit when cardinality(v_taken) > 0 or v_looked < v_window;
    v_window := 1000;
  end loop;

  if v_asks_keys then
    -- What has caught up, once this transaction commits, flows with its lane again. So does a key of which only held
    -- deliveries are left: they block it anew when something comes after them, and until then nobody needs to look.
    delete from cortex.blocked_keys b
     using unnest(v_keys) k(key)
     where b.handler_id = p_handler and md5(b.key) = md5(k.key)
       and b.blocked_until <= v_now
       and not exists (
             select from cortex.deliveries d
              where d.handler_id = p_handler and cortex.key_hash(d.key) = cortex.key_hash(k.key) and d.key = k.key
                and d.lane = p_lane and d.event >= b.event
              order by d.event
             offset (select count(*) from unnest(v_taken) t where t.key = k.key));
    if not exists (select from cortex.blocked_keys b
                    where b.handler_id = p_handler and b.lane = p_lane and b.blocked_until between p_since and v_now) then
      v_looked_at := v_now;
    end if;
  end if;

  select min(t.event_at), max(t.event_at) into v_first_at, v_last_at from unnest(v_taken) t;

  -- The join as in cortex.claim, where its shape is explained.
  return query
  select c.tid, c.event, c.event_at, c.run_at, 'medium'::cortex.priority, c.generation, c.attempt, e.id is not null,
         e.event_id, coalesce(t.alias_of, e.type), e.source, e.occurred_at, e.correlation_id, e.causation_id,
         e.causation_depth, e.key, e.payload::text, e.metadata::text, v_from, v_looked_at
    from unnest(v_taken) c
    left join lateral (
           select x.*
             from cortex.events x
            where x.id = c.event
              and x.received_at = c.event_at
              and x.received_at between v_first_at and v_last_at
            limit 1) e on true
    left join cortex.event_types t on t.type = e.type;
  if not found then
    scanned_to := v_from;
    looked_at := v_looked_at;
    return next;
  end if;
end
$$;

comment on function cortex.claim_in_lane is 'Locks deliveries of a taken lane in the order of their keys, and returns them with their events.';

revoke all on function cortex.claim_in_lane from public;
grant execute on function cortex.claim_in_lane to ${worker};

-- As in V18, by the index in which the delivery is.
create or replace function cortex.reclaim_in_lane(
  p_handler smallint, p_lane smallint, p_version bigint, p_from bigint,
  p_run_at timestamptz, p_event bigint, p_generation smallint, p_attempt smallint
) returns tid
language plpgsql set search_path = cortex, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
declare
  v_tid tid;
begin
  perform from cortex.lanes l
    where l.handler_id = p_handler and l.lane = p_lane and l.version = p_version
      for no key update skip locked;
  if not found then
    return null;
  end if;
  select d.ctid into v_tid
    from (select x.ctid as tid
            from cortex.deliveries x
           where x.handler_id = p_handler and x.lane = p_lane and x.lane > 0 and not x.parked and x.event = p_event
           union all
          select x.ctid
            from cortex.deliveries x
           where x.handler_id = p_handler and x.lane = p_lane and x.parked and x.event = p_event) f
    join cortex.deliveries d on d.ctid = f.tid
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
