-- Subscriptions by every name that a type may have, and registration that uses up no numbers.
-- Locks: ACCESS EXCLUSIVE on subscriptions and SHARE ROW EXCLUSIVE on routes, for milliseconds. Run before the
-- code's deploy.

set local role ${owner};

-- A segment of a type may begin with a digit, and so may one of a pattern.
alter table cortex.subscriptions
  drop constraint pattern_is_a_type_or_ends_in_a_star,
  add constraint pattern_is_a_type_or_ends_in_a_star
    check (pattern ~ '^(\*|[a-z][a-z0-9_]*(\.[a-z0-9_]+)*(\.\*)?)$');

-- As in V4, and besides: who subscribes to an alias gets the events of its canonical type.
create or replace view cortex.wanted_routes as
select distinct on (t.type, s.handler_id)
       t.type, s.handler_id, h.lanes, k.type is not null as held, s.key_path
  from cortex.event_types t
 cross join cortex.subscriptions s
  left join cortex.event_types a on a.type = s.pattern
  join cortex.handlers h using (handler_id)
  left join cortex.held_types k on k.type = coalesce(t.alias_of, t.type) and not k.released
 where cortex.type_matches(coalesce(t.alias_of, t.type), coalesce(a.alias_of, s.pattern))
 order by t.type, s.handler_id, length(s.pattern) desc;

-- As in V4. Two changes at once see each other only where each statement has a snapshot of its own.
create or replace function cortex.refresh_routes() returns trigger
language plpgsql security definer set search_path = cortex, pg_temp as $$
begin
  if current_setting('transaction_isolation') <> 'read committed' then
    raise exception using
      errcode = 'invalid_transaction_state',
      message = 'types, handlers and subscriptions must be changed at READ COMMITTED, was '
                || current_setting('transaction_isolation');
  end if;
  perform pg_advisory_xact_lock(hashtextextended('cortex.refresh_routes', 0));
  delete from cortex.routes r
   where not exists (select from cortex.wanted_routes w where (w.type, w.handler_id) = (r.type, r.handler_id));
  insert into cortex.routes as r (type, handler_id, lanes, held, key_path)
  select w.type, w.handler_id, w.lanes, w.held, w.key_path
    from cortex.wanted_routes w
      on conflict (type, handler_id) do update
     set (lanes, held, key_path) = (excluded.lanes, excluded.held, excluded.key_path)
   where (r.lanes, r.held, r.key_path) is distinct from (excluded.lanes, excluded.held, excluded.key_path);
  return null;
end
$$;

-- As in V4, but for the numbers.
create or replace function cortex.register_handler(
  p_name text, p_mode text, p_max_attempts smallint, p_time_budget interval, p_patterns text[]
) returns smallint
language plpgsql security definer set search_path = cortex, pg_temp as $$
#variable_conflict use_column
declare
  v_handler_id smallint;
begin
  -- An INSERT that finds the row there would draw a number all the same, and there are only 32,767.
  select handler_id into v_handler_id from cortex.handlers where name = p_name;
  if not found then
    insert into cortex.handlers (name, mode, max_attempts, time_budget)
    values (p_name, p_mode, p_max_attempts, p_time_budget)
        on conflict (name) do nothing;
    select handler_id into v_handler_id from cortex.handlers where name = p_name;
  end if;
  update cortex.handlers
     set (mode, max_attempts, time_budget) = (p_mode, p_max_attempts, p_time_budget)
   where handler_id = v_handler_id
     and (mode, max_attempts, time_budget) is distinct from (p_mode, p_max_attempts, p_time_budget);
  if exists (
    select from unnest(p_patterns) as wanted(pattern)
     where not exists (select from cortex.subscriptions s where s.handler_id = v_handler_id and s.pattern = wanted.pattern)
  ) then
    insert into cortex.subscriptions (handler_id, pattern)
    select v_handler_id, wanted.pattern from unnest(p_patterns) as wanted(pattern)
        on conflict do nothing;
  end if;
  return v_handler_id;
end
$$;

-- The patterns of a handler that no known type matches: a slip of the pen, or a type that is still to come.
create function cortex.unmatched_patterns(p_handler smallint) returns setof text
language sql stable security definer set search_path = cortex, pg_temp as $$
  select s.pattern
    from cortex.subscriptions s
   where s.handler_id = p_handler
     and not exists (
       select from cortex.event_types t where cortex.type_matches(t.type, s.pattern))
   order by 1
$$;

revoke all on function cortex.unmatched_patterns from public;
grant execute on function cortex.unmatched_patterns to ${worker};

-- The trigger brings the routes in line with the view, whether a row is touched or not.
update cortex.handlers set lanes = lanes where false;
