-- Partitions made ahead, public ids, and the routes that the fan-out reads.
-- Locks: nothing that anyone else holds. Time: milliseconds. Run before the code's deploy.

set local role ${owner};

-- Makes the monthly partitions of events and attempts from this month until p_ahead from now; returns how many
-- were missing. There is no default partition on purpose: it would have to be scanned by every later attach.
-- A partition is made beside its parent and then attached, since ATTACH takes SHARE UPDATE EXCLUSIVE, which lets
-- emitters go on, where CREATE TABLE ... PARTITION OF takes ACCESS EXCLUSIVE.
-- Locks: an advisory lock against a second maker, then SHARE UPDATE EXCLUSIVE on the parents.
create function cortex.create_partitions(p_ahead interval default '60 days') returns integer
language plpgsql security definer set search_path = cortex, pg_temp set timezone = 'UTC' set lock_timeout = '5s' as $$
declare
  parent    text;
  partition text;
  month     timestamptz;
  made      integer := 0;
begin
  perform pg_advisory_xact_lock(hashtextextended('cortex.create_partitions', 0));
  for month in
    select generate_series(date_trunc('month', clock_timestamp()), clock_timestamp() + p_ahead, '1 month')
  loop
    foreach parent in array array['events', 'attempts'] loop
      partition := parent || to_char(month, '_YYYY_MM');
      continue when to_regclass('cortex.' || partition) is not null;
      execute format('create table cortex.%I (like cortex.%I including defaults including constraints)', partition, parent);
      execute format('alter table cortex.%I attach partition cortex.%I for values from (%L) to (%L)',
                     parent, partition, month, month + interval '1 month');
      made := made + 1;
    end loop;
  end loop;
  return made;
end
$$;

comment on function cortex.create_partitions is 'Makes the partitions of the coming months; idempotent. Workers call it, any maintenance job may.';

select cortex.create_partitions();

-- The public id of an event: the one its emitter gave, else one made of its second of receipt and its number,
-- so that it can be found again (cortex.locate_event) without an index on it. Java has the same rule in EventId.
create function cortex.public_event_id(p_id bigint, p_received_at timestamptz, p_given text default null) returns text
language sql immutable parallel safe as $$
  select coalesce(p_given, 'evt_' || to_char(p_received_at at time zone 'UTC', 'YYYYMMDD_HH24MISS') || '_' || to_hex(p_id))
$$;

-- Where the event with this public id lies; no row when there is none. An id that an emitter gave is looked up,
-- any other is decoded. A suffix that is no number of ours (past 2^60, or with zeros before it, which would be a
-- second name of the same event) decodes to nothing.
create function cortex.locate_event(p_event_id text) returns table (id bigint, received_at timestamptz)
language plpgsql stable security definer set search_path = cortex, pg_temp as $$
declare
  parts  text[];
  second timestamptz;
begin
  return query select k.event, k.event_at from cortex.dedupe_keys k where k.scope = 'event_id' and k.key = p_event_id;
  if found then
    return;
  end if;
  parts := regexp_match(p_event_id, '^evt_([0-9]{8}_[0-9]{6})_([1-9a-f][0-9a-f]{0,14})$');
  if parts is null then
    return;
  end if;
  begin
    second := to_timestamp(parts[1] || ' +00', 'YYYYMMDD_HH24MISS TZH');
  exception when others then
    return;  -- its digits are no date
  end;
  return query
    select e.id, e.received_at
      from cortex.events e
     where e.id = ('x' || lpad(parts[2], 16, '0'))::bit(64)::bigint
       and e.received_at >= second
       and e.received_at < second + interval '1 second'
       and e.event_id is null;
end
$$;

create function cortex.type_matches(p_type text, p_pattern text) returns boolean
language sql immutable parallel safe as $$
  select case
           when p_pattern = '*' then true
           when right(p_pattern, 2) = '.*' then starts_with(p_type, left(p_pattern, -1))
           else p_type = p_pattern
         end
$$;

-- What cortex.routes has to hold. An alias has the routes of its canonical type; where several patterns of one
-- handler match, the longest one says the key path.
create view cortex.wanted_routes as
select distinct on (t.type, s.handler_id)
       t.type, s.handler_id, h.lanes, k.type is not null as held, s.key_path
  from cortex.event_types t
  join cortex.subscriptions s on cortex.type_matches(coalesce(t.alias_of, t.type), s.pattern)
  join cortex.handlers h using (handler_id)
  left join cortex.held_types k on k.type = coalesce(t.alias_of, t.type) and not k.released
 order by t.type, s.handler_id, length(s.pattern) desc;

-- Brings cortex.routes in line with types, subscriptions, handlers and held types.
-- Locks: an advisory lock, so that of two concurrent changes the second sees the first one's.
create function cortex.refresh_routes() returns trigger
language plpgsql security definer set search_path = cortex, pg_temp as $$
begin
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

create trigger refresh_routes after insert or update or delete on cortex.event_types
  for each statement execute function cortex.refresh_routes();
create trigger refresh_routes after insert or update or delete on cortex.subscriptions
  for each statement execute function cortex.refresh_routes();
create trigger refresh_routes after insert or update of lanes or delete on cortex.handlers
  for each statement execute function cortex.refresh_routes();
-- Not at every step of a pause's move.
create trigger refresh_routes after insert or update of released or delete on cortex.held_types
  for each statement execute function cortex.refresh_routes();

-- The lane of a key: the first 32 bits of its MD5, spread over the lanes. Our own rule, since hashtext may change
-- between versions of PostgreSQL, and a key that changes its lane loses its order.
create function cortex.lane_of(p_key text, p_lanes smallint) returns smallint
language sql immutable parallel safe as $$
  select (1 + ('x' || left(md5(p_key), 8))::bit(32)::bigint % p_lanes)::smallint
$$;

-- Makes a handler known, or brings its row in line with what the worker declares, and adds its subscriptions.
-- A worker's start never removes a subscription and never changes the number of lanes, which moves keys.
create function cortex.register_handler(
  p_name text, p_mode text, p_max_attempts smallint, p_time_budget interval, p_patterns text[]
) returns smallint
language plpgsql security definer set search_path = cortex, pg_temp as $$
#variable_conflict use_column
declare
  v_handler_id smallint;
begin
  select handler_id into v_handler_id
    from cortex.handlers
   where (name, mode, max_attempts, time_budget) = (p_name, p_mode, p_max_attempts, p_time_budget);
  if not found then
    insert into cortex.handlers as h (name, mode, max_attempts, time_budget)
    values (p_name, p_mode, p_max_attempts, p_time_budget)
        on conflict (name) do update
       set (mode, max_attempts, time_budget) = (excluded.mode, excluded.max_attempts, excluded.time_budget)
    returning h.handler_id into v_handler_id;
  end if;
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
