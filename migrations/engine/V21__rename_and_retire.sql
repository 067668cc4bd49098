-- Handlers that get another name, and handlers that go.
-- Locks: ACCESS EXCLUSIVE on handlers for milliseconds. Run before the code's deploy.

set local role ${owner};

alter table cortex.handlers
  add column retiring      text,
  add column retire_reason text,
  add column retire_fence  xid8,
  add column retired_at    timestamptz,
  add constraint retiring_is_drain_or_discard check (retiring in ('drain', 'discard')),
  add constraint what_is_retired_was_retiring check (retired_at is null or retiring is not null);

comment on column cortex.handlers.retiring is 'drain: gets no new deliveries, and is retired when it has none left; discard: those that it has are cancelled. Null: it stays.';
comment on column cortex.handlers.retire_reason is 'Why, as the operator said.';
comment on column cortex.handlers.retire_fence is 'Transactions below it may not have seen that it is retiring when they emitted.';
comment on column cortex.handlers.retired_at is 'Since when it has no deliveries, and gets none any more; null: it is not retired. The row stays, for the audit.';

create table cortex.former_handler_names (
  name       text        primary key,
  handler_id smallint    not null references cortex.handlers,
  renamed_at timestamptz not null default clock_timestamp()
);

comment on table cortex.former_handler_names is 'What handlers were called before: a worker that starts with such a name is refused, and told the new one.';

-- As in V13, and besides: a former name and a retired handler are refused, and one that is retiring gets no
-- subscription, so that its workers can be restarted while it is drained.
--
-- Locks: where a subscription is missing, the handler's row FOR SHARE, which waits for an operator who retires it.
create or replace function cortex.register_handler(
  p_name text, p_mode text, p_max_attempts smallint, p_time_budget interval, p_patterns text[]
) returns smallint
language plpgsql security definer set search_path = cortex, pg_temp as $$
#variable_conflict use_column
declare
  v_handler_id smallint;
  v_former     record;
  v_handler    cortex.handlers;
begin
  -- An INSERT that finds the row there would draw a number all the same, and there are only 32,767.
  select handler_id into v_handler_id from cortex.handlers where name = p_name;
  if not found then
    -- A statement of its own: who renamed the handler after the last one has left its former name.
    select h.name, f.renamed_at into v_former
      from cortex.former_handler_names f
      join cortex.handlers h using (handler_id)
     where f.name = p_name;
    if found then
      perform cortex.refuse_action(
        'handler', format('must have its new name: it was renamed to "%s" on %s', v_former.name, cortex.iso_time(v_former.renamed_at)),
        p_name);
    end if;
    insert into cortex.handlers (name, mode, max_attempts, time_budget)
    values (p_name, p_mode, p_max_attempts, p_time_budget)
        on conflict (name) do nothing;
    select handler_id into v_handler_id from cortex.handlers where name = p_name;
  end if;
  update cortex.handlers
     set (mode, max_attempts, time_budget) = (p_mode, p_max_attempts, p_time_budget)
   where handler_id = v_handler_id
     and (mode, max_attempts, time_budget) is distinct from (p_mode, p_max_attempts, p_time_budget)
     and retired_at is null;
  if exists (
    select from unnest(p_patterns) as wanted(pattern)
     where not exists (select from cortex.subscriptions s where s.handler_id = v_handler_id and s.pattern = wanted.pattern)
  ) then
    select * into v_handler from cortex.handlers h where h.handler_id = v_handler_id for share;
    if v_handler.retired_at is not null then
      perform cortex.refuse_action(
        'handler', format('must not be retired: it was on %s, "%s" (cortex.reinstate_handler takes it back)',
                          cortex.iso_time(v_handler.retired_at), v_handler.retire_reason),
        p_name);
    elsif v_handler.retiring is null then
      insert into cortex.subscriptions (handler_id, pattern)
      select v_handler_id, wanted.pattern from unnest(p_patterns) as wanted(pattern)
          on conflict do nothing;
    end if;
  end if;
  return v_handler_id;
end
$$;

-- As in V18, but that the order of a handler that is retiring, and so has no subscriptions, stays as it is; and that the
-- log is only tried for, since every emitter queues behind who waits for it: a worker that starts tries again.
create or replace function cortex.order_handler(p_handler smallint, p_lanes smallint, p_when_dead text, p_key_paths jsonb) returns smallint
language plpgsql security definer set search_path = cortex, pg_temp set lock_timeout = '2s' as $$
declare
  v_handler cortex.handlers;
  v_lanes   smallint;
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

-- Gives a handler another name: its deliveries, its audit and its subscriptions stay with it. Workers that run under the old
-- name go on; one that starts with it is refused and told the new one. So rename first, then deploy: a worker that
-- starts with the new name before that makes another handler of it.
-- Locks: the handler's row, waits for another operator.
create function cortex.rename_handler(handler text, new_name text, reason text) returns void
language plpgsql security definer set search_path = cortex, pg_temp as $$
#variable_conflict use_column
declare
  v_handler_id smallint;
begin
  perform cortex.check_action(rename_handler.reason);
  v_handler_id := cortex.handler_named(rename_handler.handler);
  perform from cortex.handlers h where h.handler_id = v_handler_id and h.name = rename_handler.handler for no key update;
  if not found then
    perform cortex.refuse_action('handler', 'must not be renamed by another operator at this moment', rename_handler.handler);
  elsif new_name is null or new_name !~ '^[a-z][a-z0-9]*([-_.][a-z0-9]+)*$' or length(new_name) > 100 then
    perform cortex.refuse_action('new_name', 'must be words of lower case, at most 100 characters', coalesce(new_name, ''));
  elsif exists (select from cortex.handlers h where h.name = rename_handler.new_name) then
    perform cortex.refuse_action('new_name', 'must not be the name of a handler', new_name);
  elsif exists (select from cortex.former_handler_names f
                 where f.name = rename_handler.new_name and f.handler_id <> v_handler_id) then
    perform cortex.refuse_action('new_name', 'must not be the former name of another handler', new_name);
  end if;
  delete from cortex.former_handler_names f where f.name = rename_handler.new_name;
  insert into cortex.former_handler_names (name, handler_id) values (rename_handler.handler, v_handler_id);
  update cortex.handlers h set name = rename_handler.new_name where h.handler_id = v_handler_id;
  perform cortex.record_action('rename', jsonb_build_object('handler', rename_handler.handler), rename_handler.reason,
                               jsonb_build_object('handler', rename_handler.handler), jsonb_build_object('handler', new_name));
exception
  when unique_violation then  -- somebody was quicker, and has committed only now
    perform cortex.refuse_action('new_name', 'must not be the name of a handler', new_name);
end
$$;

comment on function cortex.rename_handler is 'Gives a handler another name; a worker that starts with the old one is refused and told the new one.';

-- As in V16, and besides: a program that runs under a lease may name its handler as it was called when the worker
-- started that goes on with it.
create or replace function cortex.emit(
  type           text,
  source         text,
  payload        jsonb       default null,
  correlation_id text        default null,
  priority       text        default null,
  key            text        default null,
  dedupe_key     text        default null,
  run_at         timestamptz default null,
  causation_id   text        default null,
  occurred_at    timestamptz default null,
  metadata       jsonb       default null,
  event_id       text        default null,
  handler        text        default null,
  fence          bigint      default null
) returns text
language plpgsql security definer set search_path = cortex, pg_temp as $$
#variable_conflict use_column
declare
  v_cause cortex.events;
  v_id    bigint;
  v_at    timestamptz;
begin
  if emit.type is null then
    perform cortex.refuse('type', 'must be given', null, 'not_null_violation');
  elsif emit.source is null then
    perform cortex.refuse('source', 'must be given', null, 'not_null_violation');
  elsif emit.priority <> all (enum_range(null::cortex.priority)::text[]) then
    perform cortex.refuse('priority', 'must be critical, high, medium or low', emit.priority);
  end if;

  if emit.causation_id is not null then
    select e.* into v_cause
      from cortex.locate_event(emit.causation_id) l
      join cortex.events e on e.id = l.id and e.received_at = l.received_at;
  end if;

  -- KEY SHARE lets the lease be renewed, and keeps the delivery from everybody else until this transaction ends.
  if emit.handler is not null or emit.fence is not null then
    perform from cortex.deliveries d
      join cortex.handlers h on h.handler_id = d.handler_id
     where (h.name = emit.handler
            or h.handler_id = (select f.handler_id from cortex.former_handler_names f where f.name = emit.handler))
       and d.event = v_cause.id
       and d.fence = emit.fence
       and d.leased_by is not null
       and d.run_at > clock_timestamp()
       for key share of d;
    if not found then
      perform cortex.refuse('fence', 'must be that of a lease that is held', emit.fence::text);
    end if;
  end if;

  insert into cortex.events (
    type, source, payload, correlation_id, priority, key, dedupe_key, run_at, causation_id, causation_depth,
    occurred_at, metadata, event_id)
  values (
    emit.type, emit.source, emit.payload,
    coalesce(emit.correlation_id, v_cause.correlation_id, emit.causation_id),
    emit.priority::cortex.priority, emit.key, emit.dedupe_key, emit.run_at, emit.causation_id,
    case when emit.causation_id is null then 0 else coalesce(v_cause.causation_depth, 0) + 1 end,
    coalesce(emit.occurred_at, clock_timestamp()), emit.metadata, emit.event_id)
  returning id, received_at into v_id, v_at;

  if emit.event_id is null and emit.dedupe_key is null then
    return cortex.public_event_id(v_id, v_at);
  end if;
  return cortex.emitted_as(emit.type, emit.dedupe_key, emit.event_id);
end
$$;

-- As cortex.bump_lane for many at once: whether each of these lanes is the caller's now. What is free is taken in one
-- statement; only a lane in which somebody works is waited for.
-- Locks: FOR NO KEY UPDATE on the lanes.
create function cortex.bump_lanes(p_handlers smallint[], p_lanes smallint[]) returns boolean[]
language plpgsql cost 10000 set search_path = cortex, pg_temp set jit = off
set enable_nestloop = off  -- of an array the planner expects ten elements, and would compare every pair of thousands
as $$
declare
  v_lane     record;
  v_handlers smallint[];
  v_lanes    smallint[];
begin
  insert into cortex.lanes (handler_id, lane)
  select distinct w.handler_id, w.lane
    from unnest(p_handlers, p_lanes) as w(handler_id, lane)
   where w.lane > 0
      on conflict do nothing;
  with free as materialized (
    select l.handler_id, l.lane
      from cortex.lanes l
     where (l.handler_id, l.lane) in (select w.handler_id, w.lane from unnest(p_handlers, p_lanes) as w(handler_id, lane))
       for no key update of l skip locked),
  bumped as (
    update cortex.lanes l
       set version = l.version + 1
      from free f
     where (l.handler_id, l.lane) = (f.handler_id, f.lane)
    returning l.handler_id, l.lane)
  select array_agg(b.handler_id), array_agg(b.lane) into v_handlers, v_lanes from bumped b;

  for v_lane in
    select w.handler_id, w.lane from unnest(p_handlers, p_lanes) as w(handler_id, lane) where w.lane > 0
    except
    select h.handler_id, h.lane from unnest(v_handlers, v_lanes) as h(handler_id, lane)
    order by 1, 2
  loop
    if cortex.bump_lane(v_lane.handler_id, v_lane.lane) then
      v_handlers := v_handlers || v_lane.handler_id;
      v_lanes := v_lanes || v_lane.lane;
    end if;
  end loop;

  return array(
    select w.lane <= 0 or h.lane is not null
      from unnest(p_handlers, p_lanes) with ordinality as w(handler_id, lane, n)
      left join unnest(v_handlers, v_lanes) as h(handler_id, lane) on (h.handler_id, h.lane) = (w.handler_id, w.lane)
     order by w.n);
end
$$;

-- Ends deliveries that the caller has locked, in whatever state they are: each leaves an attempts row of this outcome, and
-- what waits for it in its key may run. Returns those that it has ended; the others are in lanes in which somebody works.
--
-- A held delivery is in no lane, but what comes after it is: the lane is that of the key.
-- Locks: the lanes, waited for as cortex.bump_lane does; whoever has them is alone with their blocked keys.
create function cortex.end_deliveries(p_tids tid[], p_outcome cortex.outcome, p_reason text, p_error text)
returns table (handler_id smallint, event bigint, generation smallint)
language plpgsql set search_path = cortex, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
#variable_conflict use_column
declare
  v_tids     tid[];
  v_handlers smallint[];
  v_lanes    smallint[];
  v_of       smallint[];
  v_keys     text[];
begin
  select array_agg(o.tid), array_agg(o.handler_id), array_agg(o.lane)
    into v_tids, v_handlers, v_lanes
    from (select d.ctid as tid, d.handler_id,
                 case when d.lane = -1 and d.key is not null and h.lanes > 0 then cortex.lane_of(d.key, h.lanes) else d.lane end as lane
            from cortex.deliveries d
            join cortex.handlers h on h.handler_id = d.handler_id
           where d.ctid = any (p_tids)) o;
  select array_agg(o.tid), array_agg(distinct o.handler_id)
    into v_tids, v_handlers
    from unnest(v_tids, v_handlers, cortex.bump_lanes(v_handlers, v_lanes)) as o(tid, handler_id, is_free)
   where o.is_free;
  if v_tids is null then
    return;
  end if;

  select array_agg(k.handler_id), array_agg(k.key)
    into v_of, v_keys
    from (select distinct d.handler_id, d.key
            from cortex.deliveries d
           where d.ctid = any (v_tids) and d.lane <> 0 and d.key is not null) k;

  perform cortex.wake(v_handlers);
  return query
  with gone as (
    delete from cortex.deliveries d
     where d.ctid = any (v_tids)
    returning d.event, d.event_at, d.handler_id, d.generation, d.lane, d.key),
  going_on as (
    update cortex.blocked_keys b
       set blocked_until = clock_timestamp()
      from (select distinct g.handler_id, g.key from gone g where g.lane <> 0 and g.key is not null) k
     where b.handler_id = k.handler_id
       and md5(b.key) = md5(k.key)
       and b.blocked_until > clock_timestamp())
  insert into cortex.attempts as a (event, event_at, started_at, outcome, handler_id, generation, attempt, reason, error)
  select g.event, g.event_at, clock_timestamp(), p_outcome, g.handler_id, g.generation, 0, p_reason, p_error from gone g
  returning a.handler_id, a.event, a.generation;

  -- Of a key of which nothing is left, nothing is to be looked at.
  delete from cortex.blocked_keys b
   using unnest(v_of, v_keys) k(handler_id, key)
   where b.handler_id = k.handler_id
     and md5(b.key) = md5(k.key)
     and not exists (
           select from cortex.deliveries d
            where d.handler_id = k.handler_id and cortex.key_hash(d.key) = cortex.key_hash(k.key) and d.key = k.key
              and d.lane <> 0);
end
$$;

revoke all on function cortex.bump_lanes, cortex.end_deliveries from public;

-- One step towards the end of a handler that is retiring: cancels up to p_max_deliveries deliveries of one that is discarded,
-- leased ones too; and it is retired when nothing of it is left and every transaction has ended that may have
-- emitted by its old routes.
-- Locks: the handler's row and the deliveries, both SKIP LOCKED; lanes, waited for as cortex.bump_lane does.
create function cortex.step_retirement(
  p_handler_id smallint, p_max_deliveries integer, out cancelled integer, out retired boolean
)
language plpgsql set search_path = cortex, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set jit = off
as $$
declare
  v_handler cortex.handlers;
  v_settled boolean;
  v_tids    tid[];
begin
  cancelled := 0;
  retired := false;
  select * into v_handler
    from cortex.handlers h
   where h.handler_id = p_handler_id and h.retiring is not null and h.retired_at is null
     for no key update skip locked;
  if not found then
    retired := exists (select from cortex.handlers h where h.handler_id = p_handler_id and h.retired_at is not null);
    return;
  end if;

  v_settled := coalesce(cortex.have_older_ended(v_handler.retire_fence), false);
  if v_handler.retiring = 'discard' then
    v_tids := array(
      select d.ctid
        from cortex.deliveries d
       where d.handler_id = p_handler_id
       limit p_max_deliveries
         for update skip locked);
    select count(*) into cancelled from cortex.end_deliveries(v_tids, 'cancel', 'handler_retired', v_handler.retire_reason);
  end if;
  if v_settled and not exists (select from cortex.deliveries d where d.handler_id = p_handler_id) then
    delete from cortex.blocked_keys b where b.handler_id = p_handler_id;
    update cortex.handlers h set retired_at = clock_timestamp() where h.handler_id = p_handler_id;
    retired := true;
  elsif v_handler.retire_fence is null then
    update cortex.handlers h
       set retire_fence = pg_snapshot_xmax(pg_current_snapshot())
     where h.handler_id = p_handler_id;
  end if;
end
$$;

-- One more step of every handler that is retiring. Every worker calls it, as cortex.step_backfills.
create function cortex.step_retirements(max_deliveries integer default 1000)
returns table (handler text, cancelled integer, retired boolean)
language plpgsql security definer set search_path = cortex, pg_temp as $$
#variable_conflict use_column
declare
  v_handler record;
begin
  perform cortex.check_action('upkeep', step_retirements.max_deliveries);
  for v_handler in
    select h.handler_id, h.name from cortex.handlers h where h.retiring is not null and h.retired_at is null order by 1
  loop
    handler := v_handler.name;
    select s.cancelled, s.retired into cancelled, retired
      from cortex.step_retirement(v_handler.handler_id, step_retirements.max_deliveries) s;
    return next;
  end loop;
end
$$;

comment on function cortex.step_retirements is 'One more step of every handler that is retiring.';

-- Takes a handler out of service. Its subscriptions go at once, and a back-fill under way ends. What it has in the queue is
-- finished (how => 'drain') or cancelled in steps ('discard', which may follow a drain); workers carry that out.
-- Then it is retired: its row stays, for the audit, and a worker that starts with it is refused. Draining waits for
-- dead letters: redrive or cancel them, or discard.
-- Locks: the handler's row and its back-fill's, waits for another operator; those of a change of subscriptions.
create function cortex.retire_handler(handler text, how text, reason text) returns void
language plpgsql security definer set search_path = cortex, pg_temp as $$
#variable_conflict use_column
declare
  v_handler cortex.handlers;
begin
  perform cortex.check_action(retire_handler.reason);
  if retire_handler.how is null or retire_handler.how not in ('drain', 'discard') then
    perform cortex.refuse_action('how', 'must be drain or discard', coalesce(retire_handler.how, ''));
  end if;
  select * into v_handler
    from cortex.handlers h
   where h.handler_id = cortex.handler_named(retire_handler.handler)
     for no key update;
  if v_handler.retired_at is not null then
    perform cortex.refuse_action('handler', 'must not be retired yet', retire_handler.handler);
  end if;
  update cortex.handlers h
     set (retiring, retire_reason) = (retire_handler.how, trim(retire_handler.reason))
   where h.handler_id = v_handler.handler_id;
  delete from cortex.subscriptions s where s.handler_id = v_handler.handler_id;
  update cortex.backfills b
     set ended_at = clock_timestamp(), cancelled = true
   where b.handler_id = v_handler.handler_id and b.ended_at is null;
  perform cortex.record_action('retire', jsonb_build_object('handler', retire_handler.handler), retire_handler.reason,
                               jsonb_build_object('retiring', v_handler.retiring),
                               jsonb_build_object('retiring', retire_handler.how));
end
$$;

comment on function cortex.retire_handler is 'Takes a handler out of service: no new deliveries; those that it has are finished (drain) or cancelled (discard).';

-- Takes a handler back that is retired or retiring. The next worker that starts with it subscribes it again; what was
-- emitted in between is cortex.backfill's.
-- Locks: the handler's row, waits for another operator.
create function cortex.reinstate_handler(handler text, reason text) returns void
language plpgsql security definer set search_path = cortex, pg_temp as $$
#variable_conflict use_column
declare
  v_handler cortex.handlers;
begin
  perform cortex.check_action(reinstate_handler.reason);
  select * into v_handler
    from cortex.handlers h
   where h.handler_id = cortex.handler_named(reinstate_handler.handler)
     for no key update;
  if v_handler.retiring is null then
    perform cortex.refuse_action('handler', 'must be retired, or retiring', reinstate_handler.handler);
  end if;
  update cortex.handlers h
     set (retiring, retire_reason, retire_fence, retired_at) = (null, null, null, null)
   where h.handler_id = v_handler.handler_id;
  perform cortex.record_action('reinstate', jsonb_build_object('handler', reinstate_handler.handler), reinstate_handler.reason,
                               jsonb_build_object('retiring', v_handler.retiring, 'retired_at', v_handler.retired_at), null);
end
$$;

comment on function cortex.reinstate_handler is 'Takes a retired handler back; the next worker that starts with it subscribes it again.';

create or replace view cortex.handler_status as
select h.name as handler, h.mode, h.lanes, h.max_attempts, h.max_running, h.time_budget, h.paused_at, h.registered_at,
       array(select s.pattern from cortex.subscriptions s where s.handler_id = h.handler_id order by s.pattern) as patterns,
       h.retiring, h.retired_at,
       array(select f.name from cortex.former_handler_names f where f.handler_id = h.handler_id order by f.renamed_at) as former_names
  from cortex.handlers h;

comment on column cortex.handler_status.retiring is 'drain: gets nothing new; discard: what it has is cancelled; null: it stays.';

revoke all on function
      cortex.rename_handler, cortex.step_retirement, cortex.step_retirements, cortex.retire_handler, cortex.reinstate_handler
  from public;
grant execute on function cortex.step_retirements to ${worker}, ${operator};
grant execute on function cortex.rename_handler, cortex.retire_handler, cortex.reinstate_handler to ${operator};
grant select on cortex.former_handler_names to ${auditor}, ${operator};
