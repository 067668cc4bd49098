-- Cancelling what runs in a transaction: nobody else can end it, so the request is left where workers look.
-- Locks: nothing that anyone else holds. Time: milliseconds. Run before the code's deploy.

set local role ${owner};

create table cortex.cancel_requests (
  handler_id   smallint        not null,
  event        bigint          not null,
  generation   smallint        not null,
  lane         smallint        not null,
  priority     cortex.priority not null,
  run_at       timestamptz     not null,
  reason       text            not null,
  requested_at timestamptz     not null default clock_timestamp(),
  primary key (handler_id, event, generation)
);

comment on table cortex.cancel_requests is 'Deliveries to cancel that a transaction held when an operator asked for it. Empty but for seconds.';
comment on column cortex.cancel_requests.run_at is
  'With lane and priority the place in the queue, which no index of events leads to. It stays while the transaction holds the delivery.';

-- Notes where the deliveries are by now of requests that the caller has locked and did not find in their places, and
-- forgets those of deliveries that have finished. One pass over what their handlers have open.
create function cortex.follow_cancel_requests(p_lost cortex.cancel_requests[]) returns void
language plpgsql set search_path = cortex, pg_temp set jit = off
set enable_nestloop = off  -- of an array the planner expects ten elements, and would read the queue for each of them
as $$
begin
  with found as materialized (
    select d.handler_id, d.event, d.generation, d.lane, d.priority, d.run_at
      from cortex.deliveries d
      join unnest(p_lost) l on (d.handler_id, d.event, d.generation) = (l.handler_id, l.event, l.generation)
     where d.handler_id = any (array(select l.handler_id from unnest(p_lost) l))),
  followed as (
    update cortex.cancel_requests r
       set (lane, priority, run_at) = (f.lane, f.priority, f.run_at)
      from found f
     where (r.handler_id, r.event, r.generation) = (f.handler_id, f.event, f.generation))
  delete from cortex.cancel_requests r
   using (select l.handler_id, l.event, l.generation from unnest(p_lost) l
          except
          select f.handler_id, f.event, f.generation from found f) gone
   where (r.handler_id, r.event, r.generation) = (gone.handler_id, gone.event, gone.generation);
end
$$;

-- Cancels what is free by now of the deliveries that are to be, and returns the others, which somebody runs: the worker
-- that does tells the handler, and cancels the delivery itself at the end of that run. What finished first is forgotten.
-- Called by every worker, twice a second, and answers each of them, whatever another one is at.
-- Locks: requests whose deliveries have to be looked for, SKIP LOCKED, so that one worker looks; deliveries and their
-- lanes, SKIP LOCKED; the requests of what it has cancelled. Index: deliveries_due, by its full key.
create function cortex.serve_cancel_requests()
returns table (handler_id smallint, event bigint, generation smallint, reason text)
language plpgsql security definer set search_path = cortex, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
#variable_conflict use_column
declare
  v_lost   cortex.cancel_requests[];
  v_reason text;
  v_tids   tid[];
begin
  perform set_config('cortex.lanes_are_busy', 'yes', true);  -- a lane in which somebody works is not waited for
  v_lost := array(
    select r
      from cortex.cancel_requests r
     where not exists (
             select from cortex.deliveries d
              where (d.handler_id, d.lane, d.priority, d.run_at, d.event, d.generation)
                    = (r.handler_id, r.lane, r.priority, r.run_at, r.event, r.generation))
       for update of r skip locked);
  if cardinality(v_lost) > 0 then
    perform cortex.follow_cancel_requests(v_lost);
  end if;

  for v_reason in select distinct r.reason from cortex.cancel_requests r loop
    v_tids := array(
      select d.tid
        from cortex.cancel_requests r
       cross join lateral (
               select x.ctid as tid
                 from cortex.deliveries x
                where (x.handler_id, x.lane, x.priority, x.run_at, x.event, x.generation)
                      = (r.handler_id, r.lane, r.priority, r.run_at, r.event, r.generation)
                  for update skip locked) d
       where r.reason = v_reason);
    delete from cortex.cancel_requests r
     using cortex.end_deliveries(v_tids, 'cancel', 'cancelled', v_reason) e
     where (r.handler_id, r.event, r.generation) = (e.handler_id, e.event, e.generation);
  end loop;
  return query select r.handler_id, r.event, r.generation, r.reason from cortex.cancel_requests r;
end
$$;

comment on function cortex.serve_cancel_requests is 'Cancels what is free by now of the deliveries that are to be, and returns the others.';

-- As in V16; and of what runs in a transaction the cancellation is asked for: it ends cancelled at the end of that run,
-- unless it finishes first. For that the answer is running.
create or replace function cortex.cancel(event_id text, reason text, handler text default null)
returns table (delivery_to text, generation smallint, state text)
language plpgsql security definer set search_path = cortex, pg_temp set jit = off as $$
#variable_conflict use_column
declare
  v_handler_id smallint;
  v_event      record;
  v_tids       tid[];
  v_before     jsonb;
  v_cancelled  jsonb;
  v_left       cortex.cancel_requests[];
  v_result     jsonb;
begin
  perform cortex.check_action(cancel.reason);
  if cancel.handler is not null then
    v_handler_id := cortex.handler_named(cancel.handler);
  end if;
  v_event := cortex.event_named(cancel.event_id);
  v_before := coalesce(cortex.deliveries_now(v_event.id, v_handler_id), '[]');

  v_tids := array(
    select d.ctid
      from cortex.deliveries d
     where d.event = v_event.id
       and (v_handler_id is null or d.handler_id = v_handler_id)
       for update skip locked);
  select coalesce(jsonb_agg(jsonb_build_object('handler', h.name, 'generation', c.generation)), '[]')
    into v_cancelled
    from cortex.end_deliveries(v_tids, 'cancel', 'cancelled', cancel.reason) c
    join cortex.handlers h on h.handler_id = c.handler_id;

  v_left := array(
    select row(d.handler_id, d.event, d.generation, d.lane, d.priority, d.run_at, cancel.reason, clock_timestamp())::cortex.cancel_requests
      from cortex.deliveries d
     where d.event = v_event.id
       and (v_handler_id is null or d.handler_id = v_handler_id));
  select coalesce(jsonb_agg(jsonb_build_object(
           'handler', b.handler, 'generation', b.generation,
           'state', case
                      when exists (select from jsonb_to_recordset(v_cancelled) c(handler text, generation smallint)
                                    where (c.handler, c.generation) = (b.handler, b.generation)) then 'cancelled'
                      when exists (select from unnest(v_left) l
                                     join cortex.handlers h on h.handler_id = l.handler_id
                                    where (h.name, l.generation) = (b.handler, b.generation)) then 'running'
                      else 'finished'
                    end)
           order by b.handler, b.generation), '[]')
    into v_result
    from jsonb_to_recordset(v_before) b(handler text, generation smallint);

  insert into cortex.cancel_requests
  select l.*
    from unnest(v_left) l
    join cortex.handlers h on h.handler_id = l.handler_id
    join jsonb_to_recordset(v_before) b(handler text, generation smallint) on (b.handler, b.generation) = (h.name, l.generation)
      on conflict do nothing;
  perform cortex.record_action('cancel', jsonb_build_object('event_id', cancel.event_id, 'handler', cancel.handler), cancel.reason, v_before, v_result);
  return query
    select r.handler, r.generation, r.state from jsonb_to_recordset(v_result) r(handler text, generation smallint, state text);
end
$$;

comment on function cortex.cancel is 'Ends the deliveries of an event, leased ones too; of those that a transaction runs it asks for the end.';

revoke all on function cortex.follow_cancel_requests, cortex.serve_cancel_requests from public;
grant execute on function cortex.serve_cancel_requests to ${worker};
grant select on cortex.cancel_requests to ${auditor}, ${operator}, ${worker};
