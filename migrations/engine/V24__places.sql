-- How many batches of a handler may run at once in the whole cluster, for handlers of every mode.
-- Locks: ACCESS EXCLUSIVE on handlers for columns without a volatile default, for milliseconds. Run before the code's
-- deploy.
--
-- A limited handler has a row per place. Who runs a batch has one of them locked, from before its claim to the end of
-- its transaction: so the limit holds whatever dies, nothing is counted, no row is written, and who finds no place waits
-- for nothing. Rows have an ACL, which advisory locks have not.

set local role ${owner};

create table cortex.handler_places (
  handler_id smallint not null,
  place      smallint not null,
  primary key (handler_id, place)
);

comment on table cortex.handler_places is 'Of a limited handler: one row for each batch that may run at once, locked by who runs one.';

alter table cortex.handlers
  add column declared_running smallint,
  add column limited_by_operator boolean not null default false,
  add constraint declared_running_is_positive check (declared_running > 0);

update cortex.handlers set declared_running = max_running where max_running is not null;
insert into cortex.handler_places (handler_id, place)
select h.handler_id, n from cortex.handlers h cross join generate_series(1, h.max_running) n;

comment on column cortex.handlers.max_running is 'Batches, or leases, that may run at once in the whole cluster; null: no limit.';
comment on column cortex.handlers.declared_running is 'What the code of the last worker that started with it declares; null: no limit.';
comment on column cortex.handlers.limited_by_operator is 'An operator has set max_running, and what the code declares does not count.';

-- Takes a place of a handler for the rest of the transaction; true also where it has no limit. Whoever runs a batch in
-- a transaction asks, whatever the handler's mode was when it was last registered; leases are counted by cortex.lease.
-- Locks: FOR NO KEY UPDATE on the place, SKIP LOCKED. Index: the primary key.
create function cortex.take_place(p_handler smallint) returns boolean
language plpgsql set search_path = cortex, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off
as $$
declare
  v_max smallint;
begin
  select h.max_running into v_max from cortex.handlers h where h.handler_id = p_handler;
  if v_max is null then
    return true;
  end if;
  perform from cortex.handler_places p
    where p.handler_id = p_handler and p.place <= v_max
    order by p.place
    limit 1
      for no key update skip locked;
  return found;
end
$$;

comment on function cortex.take_place is 'Takes one of the places of a limited handler for the transaction; false: all are taken.';

-- Sets the limit that counts, and makes its places. A limit that is lowered holds for what begins after that.
create function cortex.apply_limit(p_handler smallint, p_max_running smallint) returns void
language sql set search_path = cortex, pg_temp as $$
  insert into cortex.handler_places (handler_id, place)
  select p_handler, n from generate_series(1, p_max_running) n
      on conflict do nothing;
  update cortex.handlers h
     set max_running = p_max_running
   where h.handler_id = p_handler
     and h.max_running is distinct from p_max_running
$$;

-- States what the code declares: as in V16, but that it does not touch what an operator has said.
create or replace function cortex.limit_running(p_handler smallint, p_max_running smallint) returns void
language plpgsql security definer set search_path = cortex, pg_temp as $$
begin
  -- The row's lock: an operator's word that comes now is waited for, and not overridden.
  perform from cortex.handlers h where h.handler_id = p_handler for no key update;
  update cortex.handlers h
     set declared_running = p_max_running
   where h.handler_id = p_handler
     and h.declared_running is distinct from p_max_running;
  if exists (select from cortex.handlers h where h.handler_id = p_handler and not h.limited_by_operator) then
    perform cortex.apply_limit(p_handler, p_max_running);
  end if;
end
$$;

-- The operator's word on how many may run at once; null: as many as there are slots for. It stands, whatever workers
-- declare, until cortex.forget_limit. Counts for what begins after it.
-- Locks: the handler's row.
create function cortex.limit_handler(handler text, max_running integer, reason text) returns void
language plpgsql security definer set search_path = cortex, pg_temp as $$
declare
  v_id     smallint;
  v_before cortex.handlers;
begin
  perform cortex.check_action(reason);
  if max_running not between 1 and 1024 then
    perform cortex.refuse_action('max_running', 'must be 1 to 1024, or null for no limit', max_running::text);
  end if;
  v_id := cortex.handler_named(handler);
  select h.* into v_before from cortex.handlers h where h.handler_id = v_id for no key update;
  update cortex.handlers h set limited_by_operator = true where h.handler_id = v_id and not h.limited_by_operator;
  perform cortex.apply_limit(v_id, max_running::smallint);
  perform cortex.wake(array[v_id]);
  perform cortex.record_action(
    'limit_handler', jsonb_build_object('handler', handler), reason,
    jsonb_build_object('max_running', v_before.max_running, 'by_operator', v_before.limited_by_operator),
    jsonb_build_object('max_running', max_running, 'by_operator', true));
end
$$;

-- What the code declares counts again.
create function cortex.forget_limit(handler text, reason text) returns void
language plpgsql security definer set search_path = cortex, pg_temp as $$
declare
  v_id     smallint;
  v_before cortex.handlers;
begin
  perform cortex.check_action(reason);
  v_id := cortex.handler_named(handler);
  select h.* into v_before from cortex.handlers h where h.handler_id = v_id for no key update;
  update cortex.handlers h set limited_by_operator = false where h.handler_id = v_id and h.limited_by_operator;
  perform cortex.apply_limit(v_id, v_before.declared_running);
  perform cortex.wake(array[v_id]);
  perform cortex.record_action(
    'forget_limit', jsonb_build_object('handler', handler), reason,
    jsonb_build_object('max_running', v_before.max_running, 'by_operator', v_before.limited_by_operator),
    jsonb_build_object('max_running', v_before.declared_running, 'by_operator', false));
end
$$;

comment on function cortex.limit_handler is 'Limits how many batches of a handler run at once in the whole cluster; null: no limit.';
comment on function cortex.forget_limit is 'Lets the limit that a handler''s code declares count again.';

revoke all on function
       cortex.take_place, cortex.apply_limit, cortex.limit_handler, cortex.forget_limit
  from public;
grant execute on function cortex.take_place to ${worker};
grant execute on function cortex.limit_handler, cortex.forget_limit to ${operator};
grant select, update (place) on cortex.handler_places to ${worker};
grant select on cortex.handler_places to ${auditor}, ${operator};
