-- Cancelling what runs in a transaction: nobody else can end it, so the request is left where workers look.
-- Locks: nothing that anyone else holds. Time: milliseconds. Run before the code's deploy.

set local role ${owner};

create table cortex.cancel_requests (
  handler_id   smallint    not null,
  event        bigint      not null,
  generation   smallint    not null,
  reason       text        not null,
  requested_at timestamptz not null default clock_timestamp(),
  primary key (handler_id, event, generation)
);

comment on table cortex.cancel_requests is 'Deliveries to cancel that a transaction held when an operator asked for it. Empty but for seconds.';

-- Cancels what is free by now of the deliveries that are to be, and returns the others, which somebody runs: the worker
-- that does tells the handler, and cancels the delivery itself at the end of that run. What finished first is forgotten.
-- Called by every worker, twice a second. Locks: the requests and their deliveries, SKIP LOCKED.
create function cortex.serve_cancel_requests()
returns table (handler_id smallint, event bigint, generation smallint, reason text)
language plpgsql security definer set search_path = cortex, pg_temp set jit = off as $$
#variable_conflict use_column
declare
  v_request cortex.cancel_requests;
  v_tid     tid;
begin
  perform set_config('cortex.lanes_are_busy', 'yes', true);  -- a lane in which somebody works is not waited for
  for v_request in select r.* from cortex.cancel_requests r order by r.handler_id, r.event, r.generation for update skip locked loop
    select d.ctid into v_tid
      from cortex.deliveries d
     where (d.event, d.handler_id, d.generation) = (v_request.event, v_request.handler_id, v_request.generation)
       for update skip locked;
    if found then
      perform cortex.end_deliveries(array[v_tid], 'cancel', 'cancelled', v_request.reason);
    end if;
    if not exists (select from cortex.deliveries d
                    where (d.event, d.handler_id, d.generation) = (v_request.event, v_request.handler_id, v_request.generation))
    then
      delete from cortex.cancel_requests r
       where (r.handler_id, r.event, r.generation) = (v_request.handler_id, v_request.event, v_request.generation);
    else
      handler_id := v_request.handler_id;
      event := v_request.event;
      generation := v_request.generation;
      reason := v_request.reason;
      return next;
    end if;
  end loop;
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
  v_left       jsonb;
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

  insert into cortex.cancel_requests (handler_id, event, generation, reason)
  select h.handler_id, v_event.id, r.generation, cancel.reason
    from jsonb_to_recordset(v_result) r(handler text, generation smallint, state text)
    join cortex.handlers h on h.name = r.handler
   where r.state = 'running'
      on conflict do nothing;
  perform cortex.record_action('cancel', jsonb_build_object('event_id', cancel.event_id, 'handler', cancel.handler), cancel.reason, v_before, v_result);
  return query
    select r.handler, r.generation, r.state from jsonb_to_recordset(v_result) r(handler text, generation smallint, state text);
end
$$;

comment on function cortex.cancel is 'Ends the deliveries of an event, leased ones too; of those that a transaction runs it asks for the end.';

revoke all on function cortex.serve_cancel_requests from public;
grant execute on function cortex.serve_cancel_requests to ${worker};
grant select on cortex.cancel_requests to ${auditor}, ${operator}, ${worker};
