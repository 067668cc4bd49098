-- Ordered handlers: lanes, blocked keys, and what operators do about those.
-- Locks: ACCESS EXCLUSIVE on handlers and blocked_keys for milliseconds, and SHARE on deliveries while two indexes
-- are built, which holds emitters up for about a second per million open deliveries. Run before the code's deploy.
--
-- The promise: of two events of one key, the one with the lower number is handled first, if its transaction had
-- committed before the other one was claimed. Numbers do not commit in order, so emitters of one key whose
-- transactions overlap have the order that they commit in, as far as the claims see it; emitters that follow one
-- another have the order of their numbers. One that stays open for longer than a minute after emitting is not
-- waited for (EmitterHorizon).
--
-- How it is kept. The keys of a handler are spread over lanes. A lane's row is locked while its events are claimed
-- and run, so one transaction in the cluster works in it, and the next one takes a snapshot after the lock. In the
-- lane events are taken by number and none is stepped over: what cannot run now (not due yet, dead, held, locked by
-- an operator) blocks its key. A blocked key is left out by the scans of the lane, which so never wait for it and
-- need not look at it twice, and is served by key, from the event that blocks it on, until nothing of it is left.
-- The version of a lane is raised by whatever changes it from the side, which is operators: then workers forget
-- what they remember of it, and look at each of its blocked keys again.

set local role ${owner};

alter table cortex.handlers
  add column when_dead text not null default 'hold',
  add constraint when_dead_is_hold_or_skip check (when_dead in ('hold', 'skip'));
comment on column cortex.handlers.when_dead is 'Of an ordered handler: whether a dead letter holds its key, or leaves its lane and lets the key go on.';

-- Eight bytes for a key of any length, by a rule of our own as cortex.lane_of has. Always compare the key too.
create function cortex.key_hash(p_key text) returns bigint
language sql immutable strict parallel safe as $$
  select ('x' || left(md5(p_key), 16))::bit(64)::bigint
$$;

-- Unordered deliveries, which lie in lane 0 and have no key, pay for two predicates.
create index deliveries_lane on cortex.deliveries (handler_id, lane, event) where lane > 0;
create index deliveries_key on cortex.deliveries (handler_id, cortex.key_hash(key), lane, event) where key is not null;

-- A key may be longer than an index entry.
alter table cortex.blocked_keys drop constraint blocked_keys_pkey;
alter table cortex.blocked_keys add column lane smallint not null default 0;
alter table cortex.blocked_keys alter column lane drop default;
create unique index blocked_keys_key on cortex.blocked_keys (handler_id, md5(key));
create index blocked_keys_due on cortex.blocked_keys (handler_id, lane, blocked_until);

comment on table cortex.blocked_keys is 'Keys of ordered handlers that had an event that could not run: they are served by key, not by the scan of their lane.';
comment on column cortex.blocked_keys.event is 'The key is served from here on: nothing of it before this number is open, or can still be committed.';
comment on column cortex.blocked_keys.blocked_until is 'When to look at the key again; infinity: when its lane''s version changes. Past: it flows, and has not caught up yet.';
comment on table cortex.lanes is 'One row per lane of an ordered handler: whoever holds its lock is alone in the lane.';
comment on column cortex.lanes.version is 'Raised by operators who change what is in the lane; workers then forget what they remember of it.';

-- One candidate of a lane.
create type cortex.lane_row as (
  tid        tid,
  event      bigint,
  event_at   timestamptz,
  run_at     timestamptz,
  generation smallint,
  attempt    smallint,
  key        text
);

-- As in V8, but waits for a worker to leave the lane, for up to two seconds in a transaction: a lane that is worked
-- without a break is free for moments only. No circle: in a lane a worker waits for no delivery, it steps over the
-- key of one that somebody else has locked.
create or replace function cortex.bump_lane(p_handler_id smallint, p_lane smallint) returns boolean
language plpgsql cost 10000 set search_path = cortex, pg_temp set lock_timeout = '2s' as $$
begin
  if p_lane <= 0 then
    return true;
  end if;
  insert into cortex.lanes (handler_id, lane) values (p_handler_id, p_lane) on conflict do nothing;
  if current_setting('cortex.lanes_are_busy', true) = 'yes' then
    perform from cortex.lanes l where (l.handler_id, l.lane) = (p_handler_id, p_lane) for no key update skip locked;
    if not found then
      return false;
    end if;
  end if;
  update cortex.lanes l set version = l.version + 1 where (l.handler_id, l.lane) = (p_handler_id, p_lane);
  return true;
exception
  when lock_not_available or deadlock_detected then
    perform set_config('cortex.lanes_are_busy', 'yes', true);
    return false;
end
$$;

-- Takes a lane that may have something to run: locks its row and returns it with its version; nothing when there is
-- no such lane, or others work in all of them. The caller claims in the next statement, whose snapshot is taken
-- after the lock and so sees all that the lane's last transaction did.
--
--   p_lanes: where to look, in this order; p_from, p_since, p_versions: what the worker remembers of each
--     (cortex.claim_in_lane).
--
-- Locks: FOR NO KEY UPDATE on the lane, SKIP LOCKED. Indexes: deliveries_lane and blocked_keys_due, a probe a lane.
create function cortex.take_lane(
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
        return;
      end if;
    end if;
  end loop;
end
$$;

comment on function cortex.take_lane is 'Locks a lane of an ordered handler that may have something to run.';

-- Sets every blocked key of a lane right: where it is to be served from, and until when its first event waits.
-- The caller holds the lane.
create function cortex.review_blocked_keys(p_handler smallint, p_lane smallint, p_floor bigint) returns void
language plpgsql set search_path = cortex, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
begin
  with reviewed as materialized (
    select b.ctid as tid,
           case when coalesce(own.event, held.event) is not null then least(own.event, held.event, p_floor) end as event,
           case when held.event < coalesce(own.event, held.event + 1) then 'infinity' else own.run_at end as blocked_until
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

-- Of candidates of a lane, takes the first p_limit by number that can run, and locks them. One that cannot run
-- blocks its key from there on, unless there is no room for what comes before it. The candidates have, of each of
-- their keys, the first open events of the lane. The caller holds the lane.
--
--   p_floor: no event below it is still to be committed.
--
-- Locks: FOR UPDATE on the taken deliveries, SKIP LOCKED: what an operator has locked blocks its key for a second.
create function cortex.take_in_order(
  p_handler smallint, p_lane smallint, p_seen cortex.lane_row[], p_limit integer, p_floor bigint, p_now timestamptz,
  out taken cortex.lane_row[], out has_blocked boolean
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
       set (event, blocked_until) = (excluded.event, excluded.blocked_until)
    returning b.event)
  select coalesce((select array_agg(row(d.tid, d.event, d.event_at, d.run_at, d.generation, d.attempt, d.key)::cortex.lane_row
                                    order by d.event, d.generation)
                     from decided d where not d.waits), '{}'),
         exists (select from blocking)
    into taken, has_blocked;
end
$$;

-- Claims deliveries of a lane that the caller has taken in a statement before, by number, and returns them with
-- their events: up to half from keys that were blocked and may go on, the rest from the lane's scan.
--
--   p_from: the worker's mark. What is open below it belongs to blocked keys.
--   p_floor: no event below it is still to be committed; at least p_from.
--   p_since: the worker's mark in the blocked keys: those that were to be looked at before then have been.
--   p_is_changed: the lane has another version than the worker knows. Then both marks are at their beginnings.
--   scanned_to, looked_at: the new marks, once this transaction has committed.
--   has_blocked: the marks hold only if this very transaction commits, since it has blocked keys.
--
-- At least one row is returned; one without a tid has only the marks. A scan passes at most some 10,000 deliveries
-- of blocked keys, each of them once. Indexes: deliveries_lane, deliveries_key, blocked_keys_due, blocked_keys_key.
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
  looked_at       timestamptz,
  has_blocked     boolean
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
  v_now         timestamptz := clock_timestamp();
  v_from        bigint := p_from;
  v_looked_at   timestamptz := p_since;
  v_has_blocked boolean := false;
  v_skips       boolean;
  v_window      integer := p_limit;
  v_left        integer := p_limit;
  v_share       integer := greatest(p_limit / 2, 1);
  v_keys        text[];
  v_seen        cortex.lane_row[];
  v_taken       cortex.lane_row[] := '{}';
  v_step        record;
  v_looked      integer;
  v_last        bigint;
  v_first_at    timestamptz;
  v_last_at     timestamptz;
begin
  if p_is_changed then
    perform cortex.review_blocked_keys(p_handler, p_lane, p_floor);
  end if;
  select h.when_dead = 'skip' into v_skips from cortex.handlers h where h.handler_id = p_handler;

  -- A batch of one alternates by chance, so that neither side waits for the other for ever.
  if p_limit > 1 or random() < 0.5 then
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
      -- What has caught up, once this transaction commits, flows with its lane again.
      delete from cortex.blocked_keys b
       using unnest(v_keys) k(key)
       where b.handler_id = p_handler and md5(b.key) = md5(k.key)
         and b.blocked_until <= v_now
         and not exists (
               select from cortex.deliveries d
                where d.handler_id = p_handler and cortex.key_hash(d.key) = cortex.key_hash(k.key) and d.key = k.key
                  and d.lane = p_lane and d.event >= b.event
                order by d.event
               offset (select count(*) from unnest(v_taken) t where t.key = k.key))
         and not exists (
               select from cortex.deliveries d
                where d.handler_id = p_handler and cortex.key_hash(d.key) = cortex.key_hash(k.key) and d.key = k.key
                  and d.lane = -1);
    end if;
    if not exists (select from cortex.blocked_keys b
                    where b.handler_id = p_handler and b.lane = p_lane and b.blocked_until between p_since and v_now) then
      v_looked_at := v_now;
    end if;
  end if;

  for v_round in 1 .. 10 loop
    exit when v_left <= 0;
    select coalesce(array_agg(row(d.tid, d.event, d.event_at, d.run_at, d.generation, d.attempt, d.key)::cortex.lane_row)
                      filter (where b.key is null), '{}'),
           count(*), max(d.event)
      into v_seen, v_looked, v_last
      from (select x.ctid as tid, x.*
              from cortex.deliveries x
             where x.handler_id = p_handler and x.lane = p_lane and x.lane > 0 and x.event >= v_from
             order by x.event
             limit v_window) d
      left join cortex.blocked_keys b on b.handler_id = p_handler and md5(b.key) = md5(d.key);
    exit when v_looked = 0;

    if v_skips then
      v_seen := cortex.without_dead(p_handler, p_lane, v_seen);
    end if;
    if cardinality(v_seen) > 0 then
      select * into v_step from cortex.take_in_order(p_handler, p_lane, v_seen, v_left, p_floor, v_now);
      v_taken := v_taken || v_step.taken;
      v_left := v_left - cardinality(v_step.taken);
      v_has_blocked := v_has_blocked or v_step.has_blocked;
    end if;
    -- One further only at the end: before it, another generation of the same event may follow.
    v_from := case
                when v_left <= 0 then (v_taken[cardinality(v_taken)]).event
                when v_looked = v_window then v_last
                else v_last + 1
              end;
    exit when cardinality(v_taken) > 0 or v_looked < v_window;
    v_window := 1000;
  end loop;

  select min(t.event_at), max(t.event_at) into v_first_at, v_last_at from unnest(v_taken) t;

  -- The join as in cortex.claim, where its shape is explained.
  return query
  select c.tid, c.event, c.event_at, c.run_at, 'medium'::cortex.priority, c.generation, c.attempt, e.id is not null,
         e.event_id, coalesce(t.alias_of, e.type), e.source, e.occurred_at, e.correlation_id, e.causation_id,
         e.causation_depth, e.key, e.payload::text, e.metadata::text, v_from, v_looked_at, v_has_blocked
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
    has_blocked := v_has_blocked;
    return next;
  end if;
end
$$;

comment on function cortex.claim_in_lane is 'Locks deliveries of a taken lane in the order of their keys, and returns them with their events.';

-- Of a handler whose dead letters hold nothing: those among the candidates leave the lane. Settling does that too;
-- these were born dead.
create function cortex.without_dead(p_handler smallint, p_lane smallint, p_seen cortex.lane_row[]) returns cortex.lane_row[]
language plpgsql set search_path = cortex, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
begin
  if not exists (select from unnest(p_seen) s where s.run_at = 'infinity') then
    return p_seen;
  end if;
  update cortex.deliveries d
     set lane = 0
    from unnest(p_seen) s
   where s.run_at = 'infinity'
     and d.ctid = s.tid
     and (d.handler_id, d.lane, d.event, d.generation) = (p_handler, p_lane, s.event, s.generation);
  return array(select s from unnest(p_seen) s where s.run_at < 'infinity');
end
$$;

-- Takes the lane again and locks one of its deliveries, as the caller saw them in an earlier transaction; null when
-- it is not the caller's to run any more: others are in the lane, an operator has changed it, the delivery is gone
-- or changed, or an earlier event of its key is open.
--
--   p_from: nothing of the delivery's key was open below that when it was claimed.
create function cortex.reclaim_in_lane(
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
  if not found then
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

-- Which of these ordered handlers have a lane with something to run, and when the next of their blocked keys is
-- due: what a worker asks before it goes to sleep, in one round trip. One element per lane in each of the arrays,
-- which are those of cortex.take_lane. A lane that somebody else works in counts for neither.
--
-- Locks: the lanes that have something, for the length of this statement when the caller is in auto-commit.
create function cortex.due_lanes(
  p_handlers smallint[], p_lanes smallint[], p_from bigint[], p_since timestamptz[], p_versions bigint[]
) returns table (handler_id smallint, is_due boolean, next_run_at timestamptz, checked_at timestamptz)
language plpgsql
set search_path = cortex, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
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
     where exists (select from cortex.deliveries d
                    where d.handler_id = w.handler_id and d.lane = w.lane and d.lane > 0 and d.event >= w.mark
                      and not exists (select from cortex.blocked_keys b
                                       where b.handler_id = w.handler_id and md5(b.key) = md5(d.key)))
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

comment on function cortex.due_lanes is 'Which ordered handlers have a lane with something to run, and when the next blocked key is due.';

-- Brings the order of a handler in line with what a worker declares, in the transaction that registers it, and
-- returns the number of its lanes. 0 lanes: unordered. p_key_paths: pattern to path, as {"task.*": ["task_id"]};
-- a pattern that is not named has the event's own key.
--
-- The number of lanes of a handler that is ordered stays as it is (cortex.set_lanes changes it). Whether it is
-- ordered at all, and by which keys, changes only while it has no open deliveries, since what is queued lies in the
-- lane of the key that it had: else the worker is refused.
--
-- Locks, for such a change only: SHARE on events, which waits for open emitters, and holds up new ones while it
-- does; given up after two seconds. An emitter with a snapshot from before the change fails at its routes (V14).
create function cortex.order_handler(p_handler smallint, p_lanes smallint, p_when_dead text, p_key_paths jsonb) returns smallint
language plpgsql security definer set search_path = cortex, pg_temp set lock_timeout = '2s' as $$
declare
  v_handler cortex.handlers;
  v_lanes   smallint;
  v_name    text;
begin
  select * into v_handler from cortex.handlers h where h.handler_id = p_handler;
  if p_lanes = 0 and v_handler.lanes = 0 then
    return 0;
  end if;
  select k.pattern into v_name
    from jsonb_object_keys(p_key_paths) k(pattern)
   where not exists (select from cortex.subscriptions s where s.handler_id = p_handler and s.pattern = k.pattern);
  if found then
    perform cortex.refuse_action('key_path', 'must be of a pattern that handler ' || v_handler.name || ' subscribes to', v_name);
  end if;
  if v_handler.when_dead <> p_when_dead then
    update cortex.handlers h set when_dead = p_when_dead where h.handler_id = p_handler;
  end if;

  v_lanes := case when p_lanes > 0 and v_handler.lanes > 0 then v_handler.lanes else p_lanes end;
  if exists (select from cortex.subscriptions s where s.handler_id = p_handler and s.subscribed_by <> pg_current_xact_id())
     and (v_lanes <> v_handler.lanes
          or exists (select from cortex.subscriptions s
                      where s.handler_id = p_handler
                        and s.subscribed_by <> pg_current_xact_id()
                        and s.key_path is distinct from cortex.key_path_in(p_key_paths, s.pattern)))
  then
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

create function cortex.key_path_in(p_key_paths jsonb, p_pattern text) returns text[]
language sql immutable as $$
  select case when p_key_paths ? p_pattern then array(select jsonb_array_elements_text(p_key_paths -> p_pattern)) end
$$;

-- Changes the number of lanes of a handler that is paused and of which nothing runs, and moves its open deliveries,
-- at most 10,000 of them, to where they belong then; returns how many. 0 lanes: no order any more. Restart the
-- handler's workers before resuming it: they know the number that they started with.
-- Locks: SHARE on events, as cortex.order_handler; every lane of the handler; every delivery of it.
create function cortex.set_lanes(handler text, lanes integer, reason text) returns integer
language plpgsql security definer set search_path = cortex, pg_temp set lock_timeout = '2s' set jit = off as $$
#variable_conflict use_column
declare
  v_handler cortex.handlers;
  v_open    integer;
  v_moved   integer;
begin
  perform cortex.check_action(set_lanes.reason);
  if set_lanes.lanes is null or set_lanes.lanes not between 0 and 1024 then
    perform cortex.refuse_action('lanes', 'must be 0 to 1024', set_lanes.lanes::text);
  end if;
  select * into v_handler from cortex.handlers h where h.handler_id = cortex.handler_named(set_lanes.handler) for no key update;
  if v_handler.paused_at is null then
    perform cortex.refuse_action('handler', 'must be paused', set_lanes.handler);
  end if;
  lock table cortex.events in share mode;
  perform from cortex.lanes l where l.handler_id = v_handler.handler_id order by l.lane for no key update;
  select count(*) into v_open from (select from cortex.deliveries d where d.handler_id = v_handler.handler_id limit 10001) few;
  if v_open > 10000 then
    perform cortex.refuse_action('handler', 'must have at most 10,000 open deliveries', set_lanes.handler);
  end if;

  update cortex.handlers h set lanes = set_lanes.lanes where h.handler_id = v_handler.handler_id;
  with free as materialized (
    select d.ctid as tid
      from cortex.deliveries d
     where d.handler_id = v_handler.handler_id
       and d.leased_by is null
       for update skip locked),
  keyed as materialized (
    select f.tid, e.type, case when set_lanes.lanes > 0 then coalesce(e.payload #>> r.key_path, e.key, d.key) end as key
      from free f
      join cortex.deliveries d on d.ctid = f.tid
      left join cortex.events e on e.id = d.event and e.received_at = d.event_at
      left join cortex.routes r on r.type = e.type and r.handler_id = d.handler_id)
  update cortex.deliveries d
     set key = k.key,
         lane = case
                  when d.lane = -1 then -1
                  when k.key is null or d.run_at = 'infinity' and v_handler.when_dead = 'skip' then 0
                  else cortex.lane_of(k.key, set_lanes.lanes::smallint)
                end
    from keyed k
   where d.ctid = k.tid;
  get diagnostics v_moved = row_count;
  if v_moved < v_open then
    perform cortex.refuse_action('handler', 'must have nothing running', set_lanes.handler);
  end if;

  delete from cortex.blocked_keys b where b.handler_id = v_handler.handler_id;
  delete from cortex.lanes l where l.handler_id = v_handler.handler_id and l.lane > set_lanes.lanes;
  update cortex.lanes l set version = l.version + 1 where l.handler_id = v_handler.handler_id;
  insert into cortex.lanes (handler_id, lane)
  select v_handler.handler_id, l from generate_series(1, set_lanes.lanes) l on conflict do nothing;
  perform cortex.record_action('set_lanes', jsonb_build_object('handler', set_lanes.handler), set_lanes.reason,
                               jsonb_build_object('lanes', v_handler.lanes),
                               jsonb_build_object('lanes', set_lanes.lanes, 'moved', v_moved));
  return v_moved;
end
$$;

comment on function cortex.set_lanes is 'Changes the number of lanes of a paused handler and moves its open deliveries.';

-- Lets a blocked key go on without the event that blocks it, and returns that event's public id. The event leaves
-- the lane: it stays what it is, a dead letter or due later, and runs whenever it runs, in no order with its key.
-- The next one may block the key in turn. What waits for the resumption of its type is not released.
-- Locks: the lane, for which it waits as cortex.bump_lane does, then the delivery, SKIP LOCKED.
create function cortex.release_key(handler text, key text, reason text) returns text
language plpgsql security definer set search_path = cortex, pg_temp set jit = off as $$
#variable_conflict use_column
declare
  v_handler cortex.handlers;
  v_lane    smallint;
  v_head    record;
  v_event   text;
begin
  perform cortex.check_action(release_key.reason);
  select * into v_handler from cortex.handlers h where h.handler_id = cortex.handler_named(release_key.handler);
  if v_handler.lanes = 0 then
    perform cortex.refuse_action('handler', 'must be ordered', release_key.handler);
  end if;
  v_lane := cortex.lane_of(release_key.key, v_handler.lanes);
  if not cortex.bump_lane(v_handler.handler_id, v_lane) then
    perform cortex.refuse_action('key', 'must not share its lane with what runs for longer than two seconds; try again', release_key.key);
  end if;
  select d.ctid as tid, d.event, d.event_at, d.lane, d.run_at, d.attempt into v_head
    from (select x.ctid, x.*
            from cortex.deliveries x
           where x.handler_id = v_handler.handler_id and cortex.key_hash(x.key) = cortex.key_hash(release_key.key)
             and x.key = release_key.key and x.lane in (v_lane, -1)
           order by x.event
           limit 1) d;
  if not found or v_head.lane = v_lane and v_head.run_at <= clock_timestamp() then
    perform cortex.refuse_action('key', 'must be blocked', release_key.key, 'no_data_found');
  elsif v_head.lane = -1 then
    perform cortex.refuse_action('key', 'must not be blocked by an event of a paused type', release_key.key);
  end if;
  perform from cortex.deliveries d where d.ctid = v_head.tid and d.event = v_head.event for update skip locked;
  if not found then
    perform cortex.refuse_action('key', 'must not be changed by another operator at this moment', release_key.key);
  end if;

  update cortex.deliveries d set lane = 0 where d.ctid = v_head.tid;
  update cortex.blocked_keys b set blocked_until = clock_timestamp()
   where b.handler_id = v_handler.handler_id and md5(b.key) = md5(release_key.key);
  perform cortex.wake(array[v_handler.handler_id]);
  select cortex.public_event_id(v_head.event, v_head.event_at, e.event_id) into v_event
    from (select) one
    left join cortex.events e on e.id = v_head.event and e.received_at = v_head.event_at;
  perform cortex.record_action(
    'release', jsonb_build_object('handler', release_key.handler, 'key', left(release_key.key, 200)), release_key.reason,
    jsonb_build_object('blocked_by', v_event, 'attempts', v_head.attempt, 'run_at', v_head.run_at),
    jsonb_build_object('released', v_event));
  return v_event;
end
$$;

comment on function cortex.release_key is 'Lets a blocked key go on without the event that blocks it; returns that event''s id.';

-- The keys that wait, and for what. waiting counts what is behind the blocking event, up to 10,001.
-- Indexes: deliveries_key, attempts_event.
create view cortex.blocked as
select h.name as handler, b.key, b.lane,
       cortex.public_event_id(d.event, d.event_at, e.event_id) as event_id,
       coalesce(t.alias_of, e.type) as type,
       case
         when d.lane = -1 then 'held'
         when d.run_at = 'infinity' then 'dead'
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
 where d.run_at > statement_timestamp() or d.lane = -1;

comment on view cortex.blocked is 'Keys of ordered handlers that wait, the event that they wait for, and how much waits behind it.';
comment on column cortex.blocked.state is 'Of the event that blocks the key: dead, retrying, scheduled (its run_at is to come) or held (its type is paused).';

revoke all on function
      cortex.key_hash, cortex.take_lane, cortex.review_blocked_keys, cortex.take_in_order, cortex.claim_in_lane, cortex.without_dead,
      cortex.reclaim_in_lane, cortex.due_lanes, cortex.order_handler, cortex.key_path_in, cortex.set_lanes, cortex.release_key
  from public;
grant select on cortex.held_types to ${worker};
grant select, update on cortex.lanes to ${worker};
grant select, insert, update, delete on cortex.blocked_keys to ${worker};
grant execute on function
      cortex.key_hash, cortex.take_lane, cortex.review_blocked_keys, cortex.take_in_order, cortex.claim_in_lane, cortex.without_dead,
      cortex.reclaim_in_lane, cortex.due_lanes, cortex.order_handler, cortex.log_horizon
   to ${worker};
grant select on cortex.blocked to ${auditor}, ${operator};
grant execute on function cortex.key_hash to ${auditor}, ${operator};
grant execute on function cortex.release_key, cortex.set_lanes to ${operator};
