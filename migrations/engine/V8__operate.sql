-- What operators do: retry, redrive, cancel, pause and resume, each with a reason and each in the operators' log.
-- Locks: SHARE ROW EXCLUSIVE on attempts and operator_actions for the triggers, for milliseconds. Run before the
-- code's deploy.
--
-- No verb waits for a worker: what a worker holds at this moment is passed over with SKIP LOCKED and reported as
-- running. None of them touches a row that somebody else holds, so none can double or undo what a worker does.

set local role ${owner};

-- The two logs only grow. Row triggers on a partitioned table are cloned to its partitions and cost an INSERT
-- nothing; dropping a partition, which is retention, fires none. TRUNCATE of a partition is left to privileges:
-- only the owner has it, and retention needs no more than DROP.
create function cortex.refuse_change() returns trigger
language plpgsql set search_path = cortex, pg_temp as $$
begin
  raise exception using
    errcode = 'insufficient_privilege',
    message = format('%s refused: %I only grows', lower(tg_op), tg_table_name);
end
$$;

create trigger operator_actions_only_grow before update or delete on cortex.operator_actions
  for each row execute function cortex.refuse_change();
create trigger operator_actions_are_not_truncated before truncate on cortex.operator_actions
  for each statement execute function cortex.refuse_change();
create trigger attempts_only_grow before update or delete on cortex.attempts
  for each row execute function cortex.refuse_change();
create trigger attempts_are_not_truncated before truncate on cortex.attempts
  for each statement execute function cortex.refuse_change();

-- Wakes the sleeping workers of these handlers when the transaction commits; null or none at all means every
-- handler. The fan-out notifies on the same channel in the same form. Always notifies: operators are rare.
create function cortex.wake(handler_ids smallint[]) returns void
language sql as $$
  select pg_notify('cortex_wake', case when cardinality(handler_ids) <= 1000 then array_to_string(handler_ids, ',') else '' end)
$$;

comment on function cortex.wake is 'Wakes sleeping workers at commit. Whatever makes deliveries claimable calls it.';

-- Raises the error that a mistaken request deserves, in the form of cortex.refuse: COLUMN has the field, CONSTRAINT
-- the rule, DATATYPE the value. no_data_found: what is named does not exist; check_violation: any other rule.
create function cortex.refuse_action(p_field text, p_rule text, p_value text, p_code text default 'check_violation') returns void
language plpgsql as $$
begin
  raise exception using
    errcode = p_code,
    message = format('action refused: %s %s%s', p_field, p_rule, coalesce(format(', was "%s"', left(p_value, 200)), '')),
    column = p_field,
    constraint = p_rule,
    datatype = coalesce(left(p_value, 200), '');
end
$$;

create function cortex.check_action(p_reason text, p_max_deliveries integer default 1) returns void
language plpgsql as $$
begin
  if p_reason is null or length(trim(p_reason)) not between 1 and 1000 then
    perform cortex.refuse_action('reason', 'must have 1 to 1000 characters', coalesce(p_reason, ''));
  elsif p_max_deliveries is null or p_max_deliveries not between 1 and 10000 then
    perform cortex.refuse_action('max_deliveries', 'must be 1 to 10000', p_max_deliveries::text);
  end if;
end
$$;

create function cortex.handler_named(p_name text) returns smallint
language plpgsql stable set search_path = cortex, pg_temp as $$
declare
  found_id smallint;
begin
  select h.handler_id into found_id from cortex.handlers h where h.name = p_name;
  if not found then
    perform cortex.refuse_action('handler', 'must be a known handler', coalesce(p_name, ''), 'no_data_found');
  end if;
  return found_id;
end
$$;

-- The canonical type of a known type or alias.
create function cortex.type_named(p_type text) returns text
language plpgsql stable set search_path = cortex, pg_temp as $$
declare
  canonical text;
begin
  select coalesce(t.alias_of, t.type) into canonical from cortex.event_types t where t.type = p_type;
  if not found then
    perform cortex.refuse_action(
      'type', 'must be a known type' || coalesce(' (did you mean "' || cortex.nearest_type(p_type) || '"?)', ''),
      coalesce(p_type, ''), 'no_data_found');
  end if;
  return canonical;
end
$$;

create function cortex.event_named(p_event_id text, out id bigint, out received_at timestamptz)
language plpgsql stable set search_path = cortex, pg_temp as $$
begin
  select l.id, l.received_at into id, received_at from cortex.locate_event(p_event_id) l;
  if not found then
    perform cortex.refuse_action('event_id', 'must be the id of a recorded event', coalesce(p_event_id, ''), 'no_data_found');
  end if;
end
$$;

create function cortex.record_action(p_action text, p_subject jsonb, p_reason text, p_before jsonb, p_after jsonb) returns void
language sql set search_path = cortex, pg_temp as $$
  insert into cortex.operator_actions (database_user, action, subject, reason, before, after)
  values (session_user, p_action, jsonb_strip_nulls(p_subject), p_reason, p_before, p_after)
$$;

-- The lane in which a delivery belongs now: the held one while its type is paused, else that of its key, else 0.
create function cortex.lane_for(p_handler_id smallint, p_type text, p_key text) returns smallint
language sql stable set search_path = cortex, pg_temp as $$
  select case
           when r.held then -1
           when h.lanes > 0 and p_key is not null then cortex.lane_of(p_key, h.lanes)
           else 0
         end
    from cortex.handlers h
    left join cortex.routes r on r.handler_id = h.handler_id and r.type = p_type
   where h.handler_id = p_handler_id
$$;

-- Tells the workers of an ordered lane to forget what they remember of it, and keeps them out until this
-- transaction ends. False when one of them is in the lane now: then leave its deliveries alone.
create function cortex.bump_lane(p_handler_id smallint, p_lane smallint) returns boolean
language plpgsql cost 10000 set search_path = cortex, pg_temp as $$
begin
  if p_lane <= 0 then
    return true;
  end if;
  insert into cortex.lanes (handler_id, lane) values (p_handler_id, p_lane) on conflict do nothing;
  perform from cortex.lanes l where (l.handler_id, l.lane) = (p_handler_id, p_lane) for no key update skip locked;
  if not found then
    return false;
  end if;
  update cortex.lanes l set version = l.version + 1 where (l.handler_id, l.lane) = (p_handler_id, p_lane);
  return true;
end
$$;

-- Open deliveries in the words that users see. Due means run_at <= the statement's time. A worker that runs
-- a short batch shows nowhere (cortex.slots), so what reads available may be running already.
create view cortex.open_deliveries as
select d.event, d.event_at, d.handler_id, h.name as handler, d.generation, d.priority, d.lane, d.key,
       d.attempt as attempts, d.run_at,
       case
         when d.run_at = 'infinity' then 'dead'
         when d.leased_by is not null and d.run_at > statement_timestamp() then 'running'
         when exists (select from cortex.slots s where s.handler_id = d.handler_id and d.event = any (s.events)) then 'running'
         when d.lane = -1 then 'held'
         when d.run_at > statement_timestamp() and d.attempt = 0 then 'scheduled'
         when d.run_at > statement_timestamp() then 'retrying'
         when exists (select from cortex.blocked_keys b
                       where (b.handler_id, b.key, b.event) = (d.handler_id, d.key, d.event)
                         and b.blocked_until > statement_timestamp()) then 'retrying'
         else 'available'
       end as state
  from cortex.deliveries d
  join cortex.handlers h using (handler_id);

comment on view cortex.open_deliveries is 'Every delivery that is not finished, with its state: scheduled, available, running, retrying, held or dead.';

-- How the deliveries of an event stand, for the operators' log.
create function cortex.deliveries_now(p_event bigint, p_handler_id smallint) returns jsonb
language sql volatile set search_path = cortex, pg_temp as $$
  select jsonb_agg(jsonb_build_object(
           'handler', d.handler, 'generation', d.generation, 'state', d.state, 'attempts', d.attempts, 'run_at', d.run_at)
           order by d.handler, d.generation)
    from cortex.open_deliveries d
   where d.event = p_event
     and (p_handler_id is null or d.handler_id = p_handler_id)
$$;

-- Makes a retrying or dead delivery of an event available now, and returns the state that it then has: available,
-- held (its type is paused) or running (a worker holds it at this moment; nothing was changed).
--
-- The count of attempts stays, so that the numbers in the audit stay distinct: a delivery that was retrying has the
-- attempts that it had left, a dead one has one more and is dead again if that fails.
--
-- Due since the statement's time, not the clock's, so that the state is read as it is meant.
--
-- Locks: the delivery, and the lane of an ordered one, both with SKIP LOCKED.
create function cortex.retry(event_id text, handler text, reason text) returns text
language plpgsql security definer set search_path = cortex, pg_temp set jit = off as $$
#variable_conflict use_column
declare
  v_handler_id smallint;
  v_event      record;
  v_before     jsonb;
  v_after      jsonb;
begin
  perform cortex.check_action(retry.reason);
  v_handler_id := cortex.handler_named(retry.handler);
  v_event := cortex.event_named(retry.event_id);
  v_before := cortex.deliveries_now(v_event.id, v_handler_id);
  if v_before is null then
    perform cortex.refuse_action('event_id', 'must have an open delivery to handler ' || retry.handler, retry.event_id, 'no_data_found');
  elsif not jsonb_path_exists(v_before, '$[*] ? (@.state == "dead" || @.state == "running" || @.attempts > 0)') then
    perform cortex.refuse_action('event_id', 'must have a delivery that is retrying or dead', retry.event_id);
  end if;

  with free as materialized (
    select d.ctid as tid, cortex.lane_for(d.handler_id, e.type, d.key) as lane
      from cortex.deliveries d
      left join cortex.events e on e.id = d.event and e.received_at = d.event_at
     where d.handler_id = v_handler_id
       and d.event = v_event.id
       and (d.run_at = 'infinity' or d.attempt > 0)
       and d.leased_by is null
       for update of d skip locked)
  update cortex.deliveries d
     set run_at = least(d.run_at, statement_timestamp()), lane = free.lane
    from free
   where d.ctid = free.tid
     and cortex.bump_lane(d.handler_id, free.lane);
  if found then
    update cortex.blocked_keys b
       set blocked_until = least(b.blocked_until, statement_timestamp())
     where b.handler_id = v_handler_id
       and b.event = v_event.id;
    perform cortex.wake(array[v_handler_id]);
    v_after := cortex.deliveries_now(v_event.id, v_handler_id);
  else
    v_after := '[{"state": "running"}]';
  end if;

  perform cortex.record_action('retry', jsonb_build_object('event_id', retry.event_id, 'handler', retry.handler), retry.reason, v_before, v_after);
  return v_after -> -1 ->> 'state';
end
$$;

comment on function cortex.retry is 'Makes a retrying or dead delivery available now; its count of attempts stays.';

-- Makes dead letters of a handler available again, the oldest first, at most max_deliveries (up to 10,000) at once,
-- and returns how many. Each has one more attempt. Repeat until it returns 0.
-- Locks: those deliveries, with SKIP LOCKED. Index: deliveries_dead.
create function cortex.redrive(handler text, reason text, type text default null, max_deliveries integer default 1000) returns integer
language plpgsql security definer set search_path = cortex, pg_temp set jit = off as $$
#variable_conflict use_column
declare
  v_handler_id smallint;
  v_types      text[];
  v_events     text[];
begin
  perform cortex.check_action(redrive.reason, redrive.max_deliveries);
  v_handler_id := cortex.handler_named(redrive.handler);
  if redrive.type is not null then
    v_types := array(select t.type from cortex.event_types t where coalesce(t.alias_of, t.type) = cortex.type_named(redrive.type));
  end if;

  with dead as materialized (
    select d.ctid as tid, e.event_id, cortex.lane_for(d.handler_id, e.type, d.key) as lane
      from cortex.deliveries d
      left join cortex.events e on e.id = d.event and e.received_at = d.event_at
     where d.handler_id = v_handler_id
       and d.run_at = 'infinity'
       and (v_types is null or e.type = any (v_types))
     order by d.event
     limit redrive.max_deliveries
       for update of d skip locked),
  redriven as (
    update cortex.deliveries d
       set run_at = statement_timestamp(), lane = dead.lane
      from dead
     where d.ctid = dead.tid
       and cortex.bump_lane(d.handler_id, dead.lane)
    returning d.event, d.event_at, dead.event_id)
  select array_agg(cortex.public_event_id(r.event, r.event_at, r.event_id) order by r.event) into v_events from redriven r;

  if v_events is not null then
    perform cortex.wake(array[v_handler_id]);
  end if;
  perform cortex.record_action(
    'redrive', jsonb_build_object('handler', redrive.handler, 'type', redrive.type), redrive.reason,
    jsonb_build_object('state', 'dead'),
    jsonb_build_object('state', 'available', 'deliveries', coalesce(cardinality(v_events), 0), 'event_ids', coalesce(to_jsonb(v_events), '[]')));
  return coalesce(cardinality(v_events), 0);
end
$$;

comment on function cortex.redrive is 'Makes dead letters of a handler available again, oldest first; returns how many.';

-- Cancels the deliveries of an event, or only the one to a handler: those that nobody runs at this moment are gone,
-- with an attempts row of outcome cancel, whatever state they were in. One row per delivery: cancelled, running
-- (a worker holds it or has a lease on it: nothing was changed) or finished (it ended while this ran).
-- Locks: the deliveries, and the lanes of ordered ones, both with SKIP LOCKED.
create function cortex.cancel(event_id text, reason text, handler text default null)
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
       and (d.leased_by is null or d.run_at <= clock_timestamp())
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

comment on function cortex.cancel is 'Ends the deliveries of an event that nobody runs right now; says which it could not.';

-- Nothing more is claimed for the handler; what runs is finished, and events go on queueing for it.
create function cortex.pause_handler(handler text, reason text) returns void
language plpgsql security definer set search_path = cortex, pg_temp as $$
declare
  v_handler_id smallint;
  v_before     timestamptz;
  v_after      timestamptz;
begin
  perform cortex.check_action(pause_handler.reason);
  v_handler_id := cortex.handler_named(pause_handler.handler);
  select h.paused_at into v_before from cortex.handlers h where h.handler_id = v_handler_id for no key update;
  v_after := coalesce(v_before, clock_timestamp());
  update cortex.handlers h set paused_at = v_after where h.handler_id = v_handler_id and h.paused_at is null;
  perform cortex.record_action('pause', jsonb_build_object('handler', pause_handler.handler), pause_handler.reason,
                               jsonb_build_object('paused_at', v_before), jsonb_build_object('paused_at', v_after));
end
$$;

create function cortex.resume_handler(handler text, reason text) returns void
language plpgsql security definer set search_path = cortex, pg_temp as $$
declare
  v_handler_id smallint;
  v_before     timestamptz;
begin
  perform cortex.check_action(resume_handler.reason);
  v_handler_id := cortex.handler_named(resume_handler.handler);
  select h.paused_at into v_before from cortex.handlers h where h.handler_id = v_handler_id for no key update;
  update cortex.handlers h set paused_at = null where h.handler_id = v_handler_id and h.paused_at is not null;
  perform cortex.wake(array[v_handler_id]);
  perform cortex.record_action('resume', jsonb_build_object('handler', resume_handler.handler), resume_handler.reason,
                               jsonb_build_object('paused_at', v_before), jsonb_build_object('paused_at', null));
end
$$;

comment on function cortex.pause_handler is 'Nothing more is claimed for the handler until resume_handler.';
comment on function cortex.resume_handler is 'The handler''s deliveries are claimed again.';

-- One step of moving a paused type's deliveries to the held lane, or a resumed type's back: looks at no more than
-- max_deliveries rows, from where the last step stopped. Leaves alone what a worker holds or leases.
--
-- A type is settled when a whole pass over its handlers has passed nothing over and began after every transaction
-- that could have emitted by the old routes had ended: the fence, taken in the first step after the change was
-- committed, is above all of those. Until then the type's row stays and the workers' upkeep goes on with it, so
-- that a late emitter's delivery is neither run during a pause nor left in the held lane after it.
--
-- Locks: the type's row and the moved deliveries, both with SKIP LOCKED. Index: deliveries_due. jit is off because
-- what a plan cannot do without is priced so high when it is switched off that the plan would be compiled.
create function cortex.move_held_of(p_type text, p_max_deliveries integer, out moved integer, out settled boolean, out pass_ended boolean)
language plpgsql set search_path = cortex, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
declare
  v_row      cortex.held_types;
  v_left     integer := p_max_deliveries;
  v_types    text[];
  v_handler  smallint;
  v_looked   integer;
  v_matching integer;
  v_moving   integer;
  v_awake    smallint[] := '{}';
begin
  moved := 0;
  pass_ended := true;
  select * into v_row from cortex.held_types k where k.type = p_type and not k.settled for update skip locked;
  if not found then
    settled := not exists (select from cortex.held_types k where k.type = p_type and not k.settled);
    return;
  end if;

  if v_row.position is null then
    if v_row.fence is null and v_row.changed_by <> pg_current_xact_id() then
      v_row.fence := pg_snapshot_xmax(pg_current_snapshot());
    end if;
    v_row.conclusive := coalesce(pg_snapshot_xmin(pg_current_snapshot()) >= v_row.fence, false);
    v_row.position := row(-32768, -32768, 'critical', '-infinity', 0)::cortex.queue_position;
  end if;
  v_types := array(select t.type from cortex.event_types t where coalesce(t.alias_of, t.type) = p_type);

  for v_handler in
    select r.handler_id from cortex.routes r where r.type = p_type and r.handler_id >= (v_row.position).handler_id order by 1
  loop
    if v_handler > (v_row.position).handler_id then
      v_row.position := row(v_handler, -32768, 'critical', '-infinity', 0)::cortex.queue_position;
    end if;
    exit when v_left = 0;
    with looked as materialized (
      select d.ctid as tid, d.lane, d.priority, d.run_at, d.event, d.event_at, d.key
        from cortex.deliveries d
       where d.handler_id = v_handler
         and (d.lane, d.priority, d.run_at, d.event)
             > ((v_row.position).lane, (v_row.position).priority, (v_row.position).run_at, (v_row.position).event)
         and (case when v_row.released then d.lane = -1 else d.lane >= 0 and d.run_at < 'infinity' end)
       order by d.lane, d.priority, d.run_at, d.event
       limit v_left),
    matching as materialized (
      select l.*, cortex.lane_for(v_handler, p_type, l.key) as target
        from looked l
        left join cortex.events e on e.id = l.event and e.received_at = l.event_at
       where e.type = any (v_types)
          or e.id is null and v_row.released),
    free as materialized (
      select m.tid, m.target
        from matching m
        join cortex.deliveries d on d.ctid = m.tid
       where (d.handler_id, d.lane, d.event) = (v_handler, m.lane, m.event)
         and d.leased_by is null
         for update of d skip locked),
    moving as (
      update cortex.deliveries d
         set lane = f.target
        from free f
       where d.ctid = f.tid
         and cortex.bump_lane(v_handler, f.target)
      returning d.event)
    select (select count(*) from looked), (select count(*) from matching), (select count(*) from moving),
           coalesce((select row(v_handler, l.lane, l.priority, l.run_at, l.event)::cortex.queue_position
                       from looked l order by l.lane desc, l.priority desc, l.run_at desc, l.event desc limit 1),
                    v_row.position)
      into v_looked, v_matching, v_moving, v_row.position;
    moved := moved + v_moving;
    v_left := v_left - v_looked;
    v_row.conclusive := v_row.conclusive and v_moving = v_matching;
    if v_moving > 0 then
      v_awake := v_awake || v_handler;
    end if;
  end loop;

  if v_left > 0 then
    v_row.position := null;  -- the end of a pass
    v_row.settled := v_row.conclusive;
  end if;
  settled := v_row.settled;
  pass_ended := v_row.position is null;
  if v_row.released and v_row.settled then
    delete from cortex.held_types k where k.type = p_type;
  else
    update cortex.held_types k
       set (settled, fence, conclusive, position) = (v_row.settled, v_row.fence, v_row.conclusive, v_row.position)
     where k.type = p_type;
  end if;
  if v_row.released and cardinality(v_awake) > 0 then
    perform cortex.wake(v_awake);
  end if;
end
$$;

-- Goes on with every pause and resumption that is not settled, one step each. Part of the workers' upkeep, and of
-- no cost when there is nothing to do; call it until every row says settled to be sure by yourself.
create function cortex.move_held(max_deliveries integer default 1000)
returns table (type text, moved integer, settled boolean, pass_ended boolean)
language plpgsql security definer set search_path = cortex, pg_temp as $$
#variable_conflict use_column
begin
  perform cortex.check_action('upkeep', move_held.max_deliveries);
  for type in select k.type from cortex.held_types k where not k.settled order by k.type loop
    select m.moved, m.settled, m.pass_ended into moved, settled, pass_ended from cortex.move_held_of(move_held.type, move_held.max_deliveries) m;
    return next;
  end loop;
end
$$;

comment on function cortex.move_held is 'One more step of every pause and resumption of a type that is not settled.';

-- Deliveries of the type wait in the held lane from now on, those that are queued after at most max_deliveries of
-- them a call of cortex.move_held; this call makes the first step. settled: no more of them will be claimed.
create function cortex.pause_type(type text, reason text, max_deliveries integer default 1000, out moved integer, out settled boolean)
language plpgsql security definer set search_path = cortex, pg_temp as $$
#variable_conflict use_column
declare
  v_type   text;
  v_before jsonb;
begin
  perform cortex.check_action(pause_type.reason, pause_type.max_deliveries);
  v_type := cortex.type_named(pause_type.type);
  select jsonb_build_object('held_at', k.held_at, 'released', k.released) into v_before
    from cortex.held_types k where k.type = v_type for update;
  insert into cortex.held_types as k (type) values (v_type)
      on conflict (type) do update
     set (held_at, released, settled, changed_by, fence, position)
         = (excluded.held_at, false, false, excluded.changed_by, null, null)
   where k.released;
  select m.moved, m.settled into moved, settled from cortex.move_held_of(v_type, pause_type.max_deliveries) m;
  perform cortex.record_action('pause', jsonb_build_object('type', v_type), pause_type.reason, v_before,
                               (select jsonb_build_object('held_at', k.held_at, 'moved', pause_type.moved)
                                  from cortex.held_types k where k.type = v_type));
end
$$;

-- The reverse of cortex.pause_type.
create function cortex.resume_type(type text, reason text, max_deliveries integer default 1000, out moved integer, out settled boolean)
language plpgsql security definer set search_path = cortex, pg_temp as $$
#variable_conflict use_column
declare
  v_type   text;
  v_before jsonb;
begin
  perform cortex.check_action(resume_type.reason, resume_type.max_deliveries);
  v_type := cortex.type_named(resume_type.type);
  select jsonb_build_object('held_at', k.held_at, 'released', k.released) into v_before
    from cortex.held_types k where k.type = v_type for update;
  update cortex.held_types k
     set (released, settled, changed_by, fence, position) = (true, false, pg_current_xact_id(), null, null)
   where k.type = v_type
     and not k.released;
  select m.moved, m.settled into moved, settled from cortex.move_held_of(v_type, resume_type.max_deliveries) m;
  perform cortex.record_action('resume', jsonb_build_object('type', v_type), resume_type.reason, v_before,
                               jsonb_build_object('moved', resume_type.moved));
end
$$;

comment on function cortex.pause_type is 'Holds the deliveries of a type back until resume_type; workers finish the move.';
comment on function cortex.resume_type is 'Gives the held deliveries of a type back to their lanes; workers finish the move.';

-- The verbs are the operator's. A worker only goes on with what an operator began, and wakes others.
grant execute on function
      cortex.retry, cortex.redrive, cortex.cancel, cortex.pause_handler, cortex.resume_handler,
      cortex.pause_type, cortex.resume_type, cortex.move_held
   to ${operator};
grant execute on function cortex.move_held, cortex.wake to ${worker};
