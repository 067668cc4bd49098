-- Back-fill: deliveries to a handler for events that have been in the log for longer than its subscription.
-- Locks: nothing that anyone else holds. Time: milliseconds. Run before the code's deploy.
--
-- The promise: when a back-fill has finished, every event of its range that its handler subscribes to has, or had, a
-- delivery to it, that of an emitter too which was open when the handler subscribed: such an emitter did not see the
-- subscription, and its event is not to be seen before it commits.
--
-- How it is kept. A back-fill walks the log by number, in bounded steps, and makes the deliveries that are missing. What it
-- has walked before every transaction had ended that is older than the subscription, it walks again afterwards.

set local role ${owner};

-- Whatever makes deliveries for events that are in the log already takes this advisory lock shared, before it looks for
-- them, and holds it until its transaction ends (cortex.lock_log_shared). Whatever takes events out of the log takes it
-- exclusively, and looks at the deliveries that they have after that. So no delivery is made for an event that is about
-- to go. Emitters and workers take neither. Any login can take an advisory lock: a wait ends after five seconds
-- (lock_not_available).
create function cortex.log_lock_key() returns bigint
language sql immutable parallel safe as $$ select 7293847102938471030 $$;

create function cortex.lock_log_shared() returns void
language plpgsql set search_path = cortex, pg_temp set lock_timeout = '5s' as $$
begin
  -- An older snapshot would show what the lock's last holder has dropped.
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception using
      errcode = 'invalid_transaction_state',
      message = 'old events must be delivered at READ COMMITTED, was ' || current_setting('transaction_isolation');
  end if;
  perform pg_advisory_xact_lock_shared(cortex.log_lock_key());
end
$$;

comment on function cortex.lock_log_shared is 'Keeps events in the log until the transaction ends: for who makes deliveries of old ones.';

-- Whether every transaction has ended that may not see a change which is committed.
--
--   p_fence: pg_snapshot_xmax of a snapshot that sees the change.
--
-- Two kinds may not see it. One had its number before the change: it is below the fence. The other has an older snapshot,
-- at REPEATABLE READ, and maybe no number yet: its session shows the oldest number that it still looks at. (The fan-out
-- reads the routes after its event has been inserted, and so with a number; at READ COMMITTED with a new snapshot too.)
-- What vacuums by itself has no user, and emits nothing.
create function cortex.have_older_ended(p_fence xid8) returns boolean
language sql volatile set search_path = cortex, pg_temp as $$
  select pg_snapshot_xmin(pg_current_snapshot()) >= p_fence
     and not exists (
           select from pg_catalog.pg_stat_activity a
            where a.datname = current_database()
              and a.usesysid is not null
              and a.pid <> pg_backend_pid()
              and age(a.backend_xmin) > age(p_fence::xid))
$$;

create table cortex.backfills (
  backfill_id  integer     generated always as identity primary key,
  handler_id   smallint    not null references cortex.handlers,
  since        timestamptz not null,
  until        timestamptz not null,
  imported     boolean     not null,
  rate         integer     not null,
  requested_at timestamptz not null default clock_timestamp(),
  requested_by text        not null default session_user,
  fence        xid8,
  position     bigint      not null default 0,
  walk_to      bigint      not null,
  again_to     bigint,
  looked_to    bigint      not null default 0,
  ahead        bigint[]    not null default '{}',
  ahead_at     timestamptz[] not null default '{}',
  reached_at   timestamptz,
  paced_to     timestamptz not null default clock_timestamp(),
  made         bigint      not null default 0,
  ended_at     timestamptz,
  cancelled    boolean     not null default false,
  constraint rate_is_1_to_10000 check (rate between 1 and 10000),
  constraint since_is_before_until check (since < until)
);

create unique index backfills_running on cortex.backfills (handler_id) where ended_at is null;

comment on table cortex.backfills is 'Back-fills: each gives a handler the events of a part of the log that it has not got.';
comment on column cortex.backfills.since is 'Of events received then or later.';
comment on column cortex.backfills.until is 'Of events received before then; infinity: until every emitter that does not see the subscription has ended.';
comment on column cortex.backfills.imported is 'Whether events that an import only recorded are delivered too.';
comment on column cortex.backfills.rate is 'Deliveries made per second, at most.';
comment on column cortex.backfills.fence is 'Transactions below it may not have seen the subscription when they emitted; null: no step was taken yet.';
comment on column cortex.backfills.position is 'The number up to which the pass under way has looked.';
comment on column cortex.backfills.walk_to is 'The number at which it ends: the highest that was given out, at the request, and again when all older transactions had ended.';
comment on column cortex.backfills.again_to is 'The number up to which another pass has to look; null: not known before all older transactions have ended.';
comment on column cortex.backfills.looked_to is 'The number up to which the newest look at the log went; at most the position: the next step looks again.';
comment on column cortex.backfills.ahead is 'The events that it found to be without a delivery, by number; those up to the position have one by now.';
comment on column cortex.backfills.ahead_at is 'When each of them was received.';
comment on column cortex.backfills.reached_at is 'When the event at the position was received.';
comment on column cortex.backfills.paced_to is 'The moment up to which the rate is used up.';
comment on column cortex.backfills.made is 'Deliveries made.';

-- One step of a back-fill: makes up to p_max_deliveries deliveries, as far as the rate allows. It looks at 10,000 events
-- of the log at a time, at 20,000 where the first want none, and remembers which of them need a delivery: the queue has
-- no index of events, and is read as far as it is the handler's for each look, not for each step. What needs one then
-- does so later, since nobody else makes deliveries of generation 0 of events that are committed. Skipped are events that
-- have a delivery of generation 0 to the handler, or had one that is finished.
--
-- An unordered delivery has priority low, whatever its event has, and is due from now on: it runs when nothing else of
-- its handler is due. An ordered one runs in its key by its event's number, and so before what is open of later ones.
--
--   has_more: whether another step would do something at once, the rate aside.
--
-- Locks: the back-fill's row, SKIP LOCKED; the log, shared; lanes of an ordered handler, in their order, each waited for as
-- cortex.bump_lane does: one that stays busy ends the step before its first event. Indexes: the primary keys of the log's
-- partitions, attempts_event, and for a look of deliveries_due what the handler has: milliseconds per 100,000 open
-- deliveries.
create function cortex.step_backfill(p_backfill_id integer, p_max_deliveries integer, out made integer, out has_more boolean)
language plpgsql set search_path = cortex, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set jit = off
set enable_nestloop = off  -- of what is looked at the planner expects one row, and would compare every pair of thousands
as $$
declare
  v_row     cortex.backfills;
  v_now     timestamptz;
  v_allowed integer;
  v_cut     integer;
  v_lane    smallint;
  v_busy    smallint[] := '{}';
  v_look    constant integer := 10000;
  v_looked  integer;
  v_picked  integer;
  v_last    bigint;
  v_last_at timestamptz;
  v_events  bigint[];
  v_ats     timestamptz[];
  v_run_ats timestamptz[];
  v_lanes   smallint[];
  v_keys    text[];
begin
  made := 0;
  has_more := false;
  select * into v_row from cortex.backfills b where b.backfill_id = p_backfill_id and b.ended_at is null for update skip locked;
  if not found then
    return;
  end if;

  if v_row.fence is null then
    v_row.fence := pg_snapshot_xmax(pg_current_snapshot());
  end if;
  if v_row.again_to is null and cortex.have_older_ended(v_row.fence) then
    v_row.again_to := greatest(v_row.position, v_row.looked_to);
    if v_row.until = 'infinity' then
      select l.last_id into v_row.walk_to from cortex.log_horizon() l;
    end if;
  end if;

  if v_row.position >= v_row.walk_to then
    if v_row.again_to > 0 then
      v_row.position := 0;
      v_row.walk_to := v_row.again_to;
      v_row.again_to := 0;
      v_row.looked_to := 0;
    elsif v_row.again_to = 0 then
      v_row.ended_at := clock_timestamp();
    end if;
  end if;

  v_now := clock_timestamp();
  v_row.paced_to := greatest(v_row.paced_to, v_now - interval '1 second');
  v_allowed := least(p_max_deliveries, floor(extract(epoch from v_now - v_row.paced_to) * v_row.rate));
  if v_allowed < least(p_max_deliveries, v_row.rate / 10) then
    v_allowed := 0;  -- a step is worth its cost ten times a second, however many workers call for one
  end if;

  if v_row.position < v_row.walk_to and v_row.ended_at is null and v_allowed > 0 then
    perform cortex.lock_log_shared();
    -- As an emitter's lock: who changes the order of a handler excludes both, before the routes are read.
    lock table only cortex.events in row exclusive mode;

    if v_row.looked_to > v_row.position and coalesce(v_row.ahead[cardinality(v_row.ahead)], 0) <= v_row.position then
      v_row.position := least(v_row.looked_to, v_row.walk_to);
    end if;
    for v_round in 1 .. 2 loop
      exit when v_row.looked_to > v_row.position or v_row.position >= v_row.walk_to;
      -- Whole partitions, so that the limit bounds what is looked at and not only what is found.
      with looked as materialized (
        select e.id, e.received_at, e.type, e.run_at, e.log_only, e.key, e.payload
          from cortex.events e
         where e.received_at >= date_trunc('month', v_row.since, 'UTC')
           and e.received_at < date_trunc('month', v_row.until, 'UTC') + interval '1 month'
           and e.id > v_row.position
           and e.id <= v_row.walk_to
         order by e.id
         limit v_look),
      wanted as materialized (
        select l.id, l.received_at, l.run_at, r.lanes, r.held,
               case when r.lanes > 0 then coalesce(l.payload #>> r.key_path, l.key) end as key
          from looked l
          join cortex.routes r on r.type = l.type and r.handler_id = v_row.handler_id
         where l.received_at >= v_row.since and l.received_at < v_row.until
           and (v_row.imported or not l.log_only)
         union all
        select l.id, l.received_at, l.run_at, 0, false, null
          from looked l
         where l.received_at >= v_row.since and l.received_at < v_row.until
           and (v_row.imported or not l.log_only)
           and not exists (select from cortex.event_types t where t.type = l.type)
           and exists (select from cortex.subscriptions s
                        where s.handler_id = v_row.handler_id and cortex.type_matches(l.type, s.pattern))),
      queued as materialized (
        select d.event
          from cortex.deliveries d
         where d.handler_id = v_row.handler_id
           and d.generation = 0
           and d.event between (select min(w.id) from wanted w) and (select max(w.id) from wanted w)),
      missing as (
        select w.*
          from wanted w
          left join lateral (
                 select 1 as is_final
                   from cortex.attempts a
                  where a.event = w.id and a.event_at = w.received_at
                    and a.handler_id = v_row.handler_id and a.generation = 0
                    and a.outcome in ('done', 'dead', 'cancel', 'expire')
                  limit 1) f on true
         where f.is_final is null
           and not exists (select from queued q where q.event = w.id))
      select (select count(*) from looked), (select max(l.id) from looked l), (select max(l.received_at) from looked l),
             coalesce(array_agg(m.id order by m.id), '{}'), coalesce(array_agg(m.received_at order by m.id), '{}')
        into v_looked, v_last, v_last_at, v_row.ahead, v_row.ahead_at
        from missing m;
      if v_looked = v_look then
        v_row.looked_to := v_last;
      else
        v_row.looked_to := v_row.walk_to;
      end if;
      v_row.reached_at := coalesce(v_last_at, v_row.reached_at);
      if v_row.ahead = '{}' then
        v_row.position := v_row.looked_to;
      end if;
      update cortex.backfills b
         set (looked_to, ahead, ahead_at) = (v_row.looked_to, v_row.ahead, v_row.ahead_at)
       where b.backfill_id = p_backfill_id;
    end loop;

    -- What became of the routes or the log since the look counts.
    with picked as materialized (
      select a.event, a.event_at
        from unnest(v_row.ahead, v_row.ahead_at) a(event, event_at)
       where a.event > v_row.position and a.event <= v_row.walk_to
       order by a.event
       limit v_allowed),
    wanted as (
      select e.id, e.received_at, e.run_at, r.lanes, coalesce(r.held, false) as held,
             case when r.lanes > 0 then coalesce(e.payload #>> r.key_path, e.key) end as key
        from picked p
       cross join lateral (
               select x.* from cortex.events x where x.id = p.event and x.received_at = p.event_at limit 1) e
        left join cortex.routes r on r.type = e.type and r.handler_id = v_row.handler_id
       where r.type is not null
          or not exists (select from cortex.event_types t where t.type = e.type)
             and exists (select from cortex.subscriptions s
                          where s.handler_id = v_row.handler_id and cortex.type_matches(e.type, s.pattern)))
    select (select count(*) from picked), (select max(p.event) from picked p), (select max(p.event_at) from picked p),
           coalesce(array_agg(w.id order by w.id), '{}'), array_agg(w.received_at order by w.id),
           array_agg(w.run_at order by w.id), array_agg(w.key order by w.id),
           array_agg(case
                       when w.held then -1
                       when w.key is not null then cortex.lane_of(w.key, w.lanes)
                       else 0
                     end::smallint order by w.id)
      into v_picked, v_last, v_last_at, v_events, v_ats, v_run_ats, v_keys, v_lanes
      from wanted w;

    v_cut := cardinality(v_events);
    for v_lane in select distinct l from unnest(v_lanes) l where l > 0 order by l loop
      if not cortex.bump_lane(v_row.handler_id, v_lane) then
        v_busy := v_busy || v_lane;
      end if;
    end loop;
    if v_busy <> '{}' then
      select count(*) into v_cut
        from unnest(v_lanes) with ordinality l(lane, n)
       where n < (select min(b.n) from unnest(v_lanes) with ordinality b(lane, n) where b.lane = any (v_busy));
    end if;

    v_now := clock_timestamp();
    insert into cortex.deliveries (handler_id, lane, priority, run_at, event, event_at, key)
    select v_row.handler_id, m.lane, case when m.key is null then 'low' else 'medium' end::cortex.priority,
           greatest(m.run_at, v_now), m.event, m.event_at, m.key
      from unnest(v_events[: v_cut], v_ats[: v_cut], v_run_ats[: v_cut], v_lanes[: v_cut], v_keys[: v_cut])
           as m(event, event_at, run_at, lane, key);
    made := v_cut;

    if v_cut < cardinality(v_events) then
      v_row.position := v_events[v_cut + 1] - 1;
    elsif v_picked = v_allowed then
      v_row.position := v_last;
      v_row.reached_at := v_last_at;
    else
      v_row.position := least(v_row.looked_to, v_row.walk_to);
      if v_row.position = v_row.walk_to then
        v_row.reached_at := least(v_row.until, v_now);
      end if;
    end if;
    v_row.made := v_row.made + made;
    v_row.paced_to := v_row.paced_to + made * interval '1 second' / v_row.rate;
    if made > 0 then
      perform cortex.wake_if_asleep(array[v_row.handler_id]);
    end if;
  end if;

  has_more := v_row.ended_at is null and (v_row.position < v_row.walk_to or v_row.again_to is not null);
  update cortex.backfills b
     set (fence, position, walk_to, again_to, looked_to, reached_at, paced_to, made, ended_at)
         = (v_row.fence, v_row.position, v_row.walk_to, v_row.again_to, v_row.looked_to, v_row.reached_at, v_row.paced_to,
            v_row.made, v_row.ended_at)
   where b.backfill_id = p_backfill_id
     and (b.fence, b.position, b.walk_to, b.again_to, b.looked_to, b.ended_at)
         is distinct from (v_row.fence, v_row.position, v_row.walk_to, v_row.again_to, v_row.looked_to, v_row.ended_at);
end
$$;

-- One more step of the back-fill of a handler, or without one, of every back-fill that is under way, all in the caller's
-- transaction. Every worker calls it, whatever its handlers, some ten times a second while there is something to do: for
-- one handler at a time, each in a transaction of its own, so that a back-fill that fails takes no other one with it. No
-- row where none is under way.
create function cortex.step_backfills(max_deliveries integer default 1000, only_handler text default null)
returns table (handler text, made integer, has_more boolean)
language plpgsql security definer set search_path = cortex, pg_temp as $$
#variable_conflict use_column
declare
  v_backfill record;
begin
  perform cortex.check_action('upkeep', step_backfills.max_deliveries);
  for v_backfill in
    select b.backfill_id, h.name
      from cortex.backfills b
      join cortex.handlers h on h.handler_id = b.handler_id
     where b.ended_at is null
       and (step_backfills.only_handler is null or h.name = step_backfills.only_handler)
     order by b.backfill_id
  loop
    handler := v_backfill.name;
    select s.made, s.has_more into made, has_more from cortex.step_backfill(v_backfill.backfill_id, step_backfills.max_deliveries) s;
    return next;
  end loop;
end
$$;

comment on function cortex.step_backfills is 'One more step of the back-fill of a handler, or of every one that is under way.';

-- Asks for a back-fill: the handler is to get the events that it subscribes to and has not got, of those received
-- from since until now, or until the moment given. Returns its number at once; workers carry it out in steps, at most
-- rate deliveries a second, and it survives them: cortex.backfill_status shows how far it is. A second one for the
-- same range makes only what is missing.
--
-- Of an ordered handler the order with its live events is kept only when it is paused until the back-fill has finished.
--
--   imported: also events that an import only recorded.
--
-- Locks: the handler's row, waits for another operator.
create function cortex.backfill(
  handler text, reason text, since timestamptz default '-infinity', until timestamptz default null,
  rate integer default 100, imported boolean default false
) returns integer
language plpgsql security definer set search_path = cortex, pg_temp as $$
#variable_conflict use_column
declare
  v_handler_id smallint;
  v_until      timestamptz := case when backfill.until < clock_timestamp() then backfill.until else 'infinity' end;
  v_backfill   integer;
begin
  perform cortex.check_action(backfill.reason);
  v_handler_id := cortex.handler_named(backfill.handler);
  if backfill.rate is null or backfill.rate not between 1 and 10000 then
    perform cortex.refuse_action('rate', 'must be 1 to 10000', backfill.rate::text);
  elsif backfill.since is null or backfill.since >= least(v_until, clock_timestamp()) then
    perform cortex.refuse_action('since', 'must be before until, and before now', backfill.since::text);
  end if;
  perform from cortex.handlers h where h.handler_id = v_handler_id for no key update;
  if not exists (select from cortex.subscriptions s where s.handler_id = v_handler_id) then
    perform cortex.refuse_action('handler', 'must subscribe to something', backfill.handler);
  elsif exists (select from cortex.backfills b where b.handler_id = v_handler_id and b.ended_at is null) then
    perform cortex.refuse_action('handler', 'must have no other back-fill under way', backfill.handler);
  end if;

  insert into cortex.backfills (handler_id, since, until, imported, rate, walk_to)
  select v_handler_id, backfill.since, v_until, coalesce(backfill.imported, false), backfill.rate, l.last_id
    from cortex.log_horizon() l
  returning backfill_id into v_backfill;
  perform cortex.record_action(
    'backfill', jsonb_build_object('handler', backfill.handler), backfill.reason, null,
    jsonb_build_object('backfill', v_backfill, 'since', nullif(backfill.since, '-infinity'), 'until', nullif(v_until, 'infinity'), 'rate', backfill.rate,
                       'imported', coalesce(backfill.imported, false)));
  return v_backfill;
end
$$;

comment on function cortex.backfill is 'Has workers give a handler the events of the log that it has not got, at a rate; see cortex.backfill_status.';

-- Ends the back-fill of a handler; the deliveries that it has made stay. Returns its number.
-- Locks: the back-fill's row, waits for a step of it.
create function cortex.cancel_backfill(handler text, reason text) returns integer
language plpgsql security definer set search_path = cortex, pg_temp as $$
#variable_conflict use_column
declare
  v_backfill cortex.backfills;
begin
  perform cortex.check_action(cancel_backfill.reason);
  update cortex.backfills b
     set ended_at = clock_timestamp(), cancelled = true
   where b.handler_id = cortex.handler_named(cancel_backfill.handler)
     and b.ended_at is null
  returning * into v_backfill;
  if not found then
    perform cortex.refuse_action('handler', 'must have a back-fill under way', cancel_backfill.handler, 'no_data_found');
  end if;
  perform cortex.record_action(
    'cancel_backfill', jsonb_build_object('handler', cancel_backfill.handler), cancel_backfill.reason, null,
    jsonb_build_object('backfill', v_backfill.backfill_id, 'made', v_backfill.made));
  return v_backfill.backfill_id;
end
$$;

comment on function cortex.cancel_backfill is 'Ends the back-fill of a handler; what it has made stays.';

create view cortex.backfill_status as
select b.backfill_id, h.name as handler,
       case
         when b.cancelled then 'cancelled'
         when b.ended_at is not null then 'finished'
         when b.position >= b.walk_to and b.again_to is null then 'waiting'
         else 'running'
       end as state,
       nullif(b.since, '-infinity') as since, nullif(b.until, 'infinity') as until, b.reached_at, b.rate, b.imported, b.made,
       b.requested_at, b.requested_by, b.ended_at
  from cortex.backfills b
  join cortex.handlers h using (handler_id);

comment on view cortex.backfill_status is 'Every back-fill: how far it has come, at which rate, and what it has made.';
comment on column cortex.backfill_status.state is 'running; waiting: at the end, but a transaction is open that is older than the back-fill; finished; cancelled.';
comment on column cortex.backfill_status.reached_at is 'It has looked at events received up to then. It may begin anew, for what was not committed at first.';

revoke all on function
      cortex.log_lock_key, cortex.lock_log_shared, cortex.have_older_ended, cortex.step_backfill,
      cortex.step_backfills, cortex.backfill, cortex.cancel_backfill
  from public;
grant execute on function cortex.step_backfills to ${worker}, ${operator};
grant execute on function cortex.backfill, cortex.cancel_backfill to ${operator};
grant select on cortex.backfills, cortex.backfill_status to ${auditor}, ${operator};
grant select (backfill_id, handler_id, ended_at) on cortex.backfills to ${worker};
