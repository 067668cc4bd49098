-- Which of its two implementations a handler runs, where a worker has both: Java code and a program.
-- Locks: ACCESS EXCLUSIVE on handlers, for milliseconds. Run before the code's deploy.

set local role ${owner};

alter table cortex.handlers add column implementation text not null default 'java'
  constraint implementation_is_known check (implementation in ('java', 'program'));

comment on column cortex.handlers.implementation is
  'What runs it where a worker has both: java or program. Its subscriptions and deliveries are the same.';

-- Workers that have both implementations finish what they run, and go on with this one within seconds.
-- Locks: the handler's row; waits for another operator.
create function cortex.implement(handler text, implementation text, reason text) returns void
language plpgsql security definer set search_path = cortex, pg_temp as $$
declare
  v_handler_id smallint;
  v_before     text;
begin
  perform cortex.check_action(implement.reason);
  if implement.implementation is null or implement.implementation not in ('java', 'program') then
    perform cortex.refuse_action('implementation', 'must be java or program', implement.implementation);
  end if;
  v_handler_id := cortex.handler_named(implement.handler);
  select h.implementation into v_before from cortex.handlers h where h.handler_id = v_handler_id for no key update;
  update cortex.handlers h set implementation = implement.implementation
   where h.handler_id = v_handler_id and h.implementation <> implement.implementation;
  perform cortex.record_action('implement', jsonb_build_object('handler', implement.handler), implement.reason,
                               jsonb_build_object('implementation', v_before),
                               jsonb_build_object('implementation', implement.implementation));
end
$$;

comment on function cortex.implement is 'Chooses between the Java code and the program of a handler.';

create or replace view cortex.handler_status as
select h.name as handler, h.mode, h.lanes, h.max_attempts, h.max_running, h.time_budget, h.paused_at, h.registered_at,
       array(select s.pattern from cortex.subscriptions s where s.handler_id = h.handler_id order by s.pattern) as patterns,
       h.retiring, h.retired_at,
       array(select f.name from cortex.former_handler_names f where f.handler_id = h.handler_id order by f.renamed_at) as former_names,
       h.when_dead, h.implementation, h.declared_running, h.limited_by_operator
  from cortex.handlers h;

comment on column cortex.handler_status.max_running is 'Batches, or leases, that may run at once in the whole cluster; null: no limit.';
comment on column cortex.handler_status.declared_running is 'What its code declares; max_running says otherwise where limited_by_operator is set.';

revoke all on function cortex.implement from public;
grant execute on function cortex.implement to ${operator};
