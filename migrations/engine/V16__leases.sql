-- Leases: handling outside of a transaction, for effects elsewhere and for long work.
-- Locks: ACCESS EXCLUSIVE on deliveries for a column without a default, and SHARE while an index of no rows is built,
-- which reads the queue once. Time: milliseconds, a second per million deliveries. Run before the code's deploy.
--
-- A lease is a delivery whose run_at is the lease's end and whose leased_by is not null. Who holds it is known by the
-- fence, which rises with every lease and never falls: renewing, acknowledging and settling name it, and change nothing
-- once somebody else has leased the delivery or it is gone. None of them names run_at, which a renewal moves.

set local role ${owner};

alter table cortex.deliveries add column leased_at timestamptz;

comment on column cortex.deliveries.leased_at is 'Since when it has been leased, by the database''s clock; null: not leased.';
comment on column cortex.handlers.max_running is 'Leases of a leased handler that may run at once in the whole cluster; null: no limit.';

-- Finds a lease by what does not change, and counts a handler's leases. Of other rows it holds nothing, so that
-- emitting and acknowledging pay for a predicate only.
create index deliveries_leased on cortex.deliveries (handler_id, event) where leased_by is not null;

-- The first key of the advisory locks under which a limited handler's leases are counted; the second is the handler.
create function cortex.lease_lock_class() returns integer
language sql immutable parallel safe as $$ select 1129206870 $$;

-- Whether one more lease of the handler may run. A lease that ran out does not count: its process is dead or cut off,
-- and its delivery is due. Index: deliveries_leased.
create function cortex.has_room(p_handler smallint) returns boolean
language sql stable set search_path = cortex, pg_temp as $$
  select h.max_running is null
      or h.max_running > (select count(*)
                            from cortex.deliveries d
                           where d.handler_id = h.handler_id
                             and d.leased_by is not null
                             and d.run_at > clock_timestamp())
    from cortex.handlers h
   where h.handler_id = p_handler
$$;

-- Leases up to p_limit due deliveries of one handler and lane: claims them as cortex.claim does, raises the fence and
-- moves run_at to the end of the lease. To be called in auto-commit, so that no client holds what it locks.
--
-- A claimed delivery that is leased already lost its lease: the worker that held it died, was cut off or stood still.
-- It is charged an attempt before it runs again, in the name of that worker, and is dead after the last one; so an
-- event that kills its process every time comes to an end. A delivery whose event is gone is dead at once.
--
--   p_worker: who leases; p_lease: for how long. The window: as in cortex.claim.
--   run_at is where the delivery lay, attempt counts what has been charged by now.
--   fence is null where the delivery is dead now; lost_by is the worker that lost it, null where nobody did.
--
-- Locks: those of cortex.claim; where the handler has a limit, an advisory lock of the handler, waited for, so that the
-- leases are counted and added one after the other. All of them for this statement only.
create function cortex.lease(
  p_handler    smallint,
  p_lane       smallint,
  p_from_at    timestamptz[],
  p_from_event bigint[],
  p_to_at      timestamptz[],
  p_to_event   bigint[],
  p_limit      integer,
  p_worker     integer,
  p_lease      interval
) returns table (
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
  leased_at       timestamptz,
  fence           bigint,
  lost_by         integer
)
language plpgsql set search_path = cortex, pg_temp as $$
#variable_conflict use_column
declare
  v_handler cortex.handlers;
  v_limit   integer := p_limit;
  v_row     record;
  v_before  record;
  v_dead    boolean;
begin
  select h.* into v_handler from cortex.handlers h where h.handler_id = p_handler;
  if v_handler.max_running is not null then
    perform pg_advisory_xact_lock(cortex.lease_lock_class(), p_handler);
    -- A statement of its own, to see what the last holder of the lock has committed.
    select least(p_limit, v_handler.max_running - count(*)) into v_limit
      from cortex.deliveries d
     where d.handler_id = p_handler
       and d.leased_by is not null
       and d.run_at > clock_timestamp();
    if v_limit <= 0 then
      return;
    end if;
  end if;

  for v_row in
    select c.* from cortex.claim(p_handler, p_lane, p_from_at, p_from_event, p_to_at, p_to_event, v_limit) c
  loop
    select d.leased_by, d.leased_at, coalesce(d.fence, 0) as fence into v_before from cortex.deliveries d where d.ctid = v_row.tid;
    leased_at := clock_timestamp();
    lost_by := v_before.leased_by;
    attempt := v_row.attempt;
    v_dead := false;
    if lost_by is not null then
      attempt := attempt + 1;
      v_dead := attempt >= v_handler.max_attempts;
      insert into cortex.attempts (
             event, event_at, started_at, worker_id, outcome, handler_id, generation, attempt, reason, error)
      values (v_row.event, v_row.event_at, coalesce(v_before.leased_at, v_row.run_at), lost_by,
              case when v_dead then 'dead'::cortex.outcome else 'crash' end, p_handler, v_row.generation, attempt,
              'lease_lost', 'the lease ran out while the worker held it');
    end if;
    if not v_row.event_found and not v_dead then
      attempt := attempt + 1;
      v_dead := true;
      insert into cortex.attempts (
             event, event_at, started_at, worker_id, outcome, handler_id, generation, attempt, reason, error)
      values (v_row.event, v_row.event_at, leased_at, p_worker, 'dead', p_handler, v_row.generation, attempt,
              'event_gone', 'the event is not in the log any more');
    end if;
    fence := case when not v_dead then v_before.fence + 1 end;
    update cortex.deliveries d
       set attempt = lease.attempt,
           fence = coalesce(lease.fence, d.fence),
           leased_by = case when not v_dead then p_worker end,
           leased_at = case when not v_dead then lease.leased_at end,
           run_at = case when v_dead then 'infinity' else lease.leased_at + p_lease end
     where d.ctid = v_row.tid;

    event := v_row.event;
    event_at := v_row.event_at;
    run_at := v_row.run_at;
    priority := v_row.priority;
    generation := v_row.generation;
    event_found := v_row.event_found;
    event_id := v_row.event_id;
    type := v_row.type;
    source := v_row.source;
    occurred_at := v_row.occurred_at;
    correlation_id := v_row.correlation_id;
    causation_id := v_row.causation_id;
    causation_depth := v_row.causation_depth;
    key := v_row.key;
    payload := v_row.payload;
    metadata := v_row.metadata;
    return next;
  end loop;
end
$$;

comment on function cortex.lease is 'Leases due deliveries of a handler to a worker and returns them with their events.';

-- Moves the end of leases to p_leases from now. Parallel arrays, one element per lease; answers for each, in their
-- order: true, renewed; false, gone: cancelled, finished, or somebody else's by now; null, locked by somebody at this
-- moment and left as it was. A lease that ran out and that nobody has taken yet is renewed like any other.
-- Locks: the deliveries, with SKIP LOCKED, so that one that is locked keeps no other from being renewed.
-- Index: deliveries_leased.
create function cortex.renew_leases(
  p_worker integer, p_handlers smallint[], p_events bigint[], p_generations smallint[], p_fences bigint[], p_leases interval[]
) returns boolean[]
language sql set search_path = cortex, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
  with lease as materialized (
    select * from unnest(p_handlers, p_events, p_generations, p_fences, p_leases)
             with ordinality as l(handler_id, event, generation, fence, lease, n)),
  held as materialized (
    select l.n, l.lease, d.ctid as tid
      from lease l
      join cortex.deliveries d
        on (d.handler_id, d.event, d.generation, d.fence) = (l.handler_id, l.event, l.generation, l.fence)
     where d.leased_by = p_worker
       for no key update of d skip locked),
  renewed as (
    update cortex.deliveries d
       set run_at = clock_timestamp() + held.lease
      from held
     where d.ctid = held.tid
    returning held.n)
  select array_agg(case
                     when r.n is not null then true
                     when not exists (select from cortex.deliveries d
                                       where (d.handler_id, d.event, d.generation, d.fence)
                                             = (l.handler_id, l.event, l.generation, l.fence)
                                         and d.leased_by = p_worker) then false
                   end order by l.n)
    from lease l
    left join renewed r on r.n = l.n
$$;

comment on function cortex.renew_leases is 'Moves the end of leases; true: renewed, false: gone, null: locked, try again.';

-- Wakes sleeping workers of these handlers at commit, if any sleeps: as the fan-out does, and unlike cortex.wake, which
-- notifies always, this may be called often. A limited handler's leases call it when they end, since there is room.
create function cortex.wake_if_asleep(p_handlers smallint[]) returns void
language plpgsql set search_path = cortex, pg_temp as $$
begin
  if not pg_try_advisory_xact_lock_shared(cortex.wake_key()) then
    perform pg_notify('cortex_wake', array_to_string(p_handlers, ','));
  end if;
end
$$;

-- States how many leases of a handler may run at once in the whole cluster; null: no limit. Called by every worker that
-- starts with the handler, as cortex.register_handler is, and changes the row only where it differs.
create function cortex.limit_running(p_handler smallint, p_max_running smallint) returns void
language sql security definer set search_path = cortex, pg_temp as $$
  update cortex.handlers h
     set max_running = p_max_running
   where h.handler_id = p_handler
     and h.max_running is distinct from p_max_running
$$;

-- As before, and a delivery that is leased is cancelled as well: no row lock is held while its handler runs. The worker
-- finds at its next renewal that the delivery is gone and tells the handler; whatever that acknowledges is refused. So
-- running is answered only for what a transaction holds at this moment.
create or replace function cortex.cancel(event_id text, reason text, handler text default null)
returns table (delivery_to text, generation smallint, state text)
language plpgsql security definer set search_path = cortex, pg_temp set jit = off as $$
#variable_conflict use_column
declare
  v_handler_id smallint;
  v_event      record;
  v_before     jsonb;
  v_cancelled  jsonb;
  v_left       jsonb;
  v_result     jsonb;
begin
  perform cortex.check_action(cancel.reason);
  if cancel.handler is not null then
    v_handler_id := cortex.handler_named(cancel.handler);
  end if;
  v_event := cortex.event_named(cancel.event_id);
  v_before := coalesce(cortex.deliveries_now(v_event.id, v_handler_id), '[]');

  with free as materialized (
    select d.ctid as tid
      from cortex.deliveries d
     where d.event = v_event.id
       and (v_handler_id is null or d.handler_id = v_handler_id)
       for update skip locked),
  gone as (
    delete from cortex.deliveries d
     using free
     where d.ctid = free.tid
       and cortex.bump_lane(d.handler_id, d.lane)
    returning d.event, d.event_at, d.handler_id, d.generation, d.key),
  unblocked as (
    delete from cortex.blocked_keys b
     using gone
     where (b.handler_id, b.key, b.event) = (gone.handler_id, gone.key, gone.event)),
  audited as (
    insert into cortex.attempts (event, event_at, started_at, outcome, handler_id, generation, attempt, reason, error)
    select g.event, g.event_at, clock_timestamp(), 'cancel', g.handler_id, g.generation, 0, 'cancelled', cancel.reason from gone g
    returning handler_id, generation)
  select coalesce(jsonb_agg(jsonb_build_object('handler', h.name, 'generation', a.generation)), '[]')
    into v_cancelled
    from audited a
    join cortex.handlers h using (handler_id);

  v_left := coalesce(cortex.deliveries_now(v_event.id, v_handler_id), '[]');
  select coalesce(jsonb_agg(jsonb_build_object(
           'handler', b.handler, 'generation', b.generation,
           'state', case
                      when exists (select from jsonb_to_recordset(v_cancelled) c(handler text, generation smallint)
                                    where (c.handler, c.generation) = (b.handler, b.generation)) then 'cancelled'
                      when exists (select from jsonb_to_recordset(v_left) l(handler text, generation smallint)
                                    where (l.handler, l.generation) = (b.handler, b.generation)) then 'running'
                      else 'finished'
                    end)
           order by b.handler, b.generation), '[]')
    into v_result
    from jsonb_to_recordset(v_before) b(handler text, generation smallint);

  if v_cancelled <> '[]' then
    -- The next of an ordered key may run now.
    perform cortex.wake(array(select h.handler_id from jsonb_to_recordset(v_cancelled) c(handler text) join cortex.handlers h on h.name = c.handler));
  end if;
  perform cortex.record_action('cancel', jsonb_build_object('event_id', cancel.event_id, 'handler', cancel.handler), cancel.reason, v_before, v_result);
  return query
    select r.handler, r.generation, r.state from jsonb_to_recordset(v_result) r(handler text, generation smallint, state text);
end
$$;

comment on function cortex.cancel is 'Ends the deliveries of an event, leased ones too, that no transaction holds right now; says which it could not.';

-- Emits one event and returns its public id, as before. New are handler and fence: who runs outside of a worker for a
-- leased delivery (a program that a command handler started) names with them the lease under which it runs, and its
-- event as causation_id. The event is refused unless that lease is held now, and commits before anybody else can have
-- the delivery: whose lease is lost emits nothing in its name.
drop function cortex.emit(text, text, jsonb, text, text, text, text, timestamptz, text, timestamptz, jsonb, text);

create function cortex.emit(
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
     where h.name = emit.handler
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

comment on function cortex.emit is 'Emits one event in the caller''s transaction and returns its public id.';

grant execute on function cortex.emit to ${emitter}, ${worker}, ${operator};
grant execute on function
      cortex.lease, cortex.renew_leases, cortex.lease_lock_class, cortex.has_room, cortex.wake_if_asleep,
      cortex.limit_running
   to ${worker};
