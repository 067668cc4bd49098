-- The fan-out (checks, idempotence, deliveries, wake-up) and cortex.emit.
-- Locks: nothing that anyone else holds. Time: milliseconds. Run before the code's deploy.

set local role ${owner};

-- The advisory lock K of the wake-up protocol (ARCHITECTURE.md, "Wake-up"): shared by every transaction that has
-- made deliveries, exclusive by a worker that sleeps. Advisory locks are per database already.
create function cortex.wake_key() returns bigint
language sql immutable parallel safe as $$ select 7293847102938471029 $$;

-- The known type that is spelled most like p_type, by Levenshtein distance; null when none is near.
create function cortex.nearest_type(p_type text) returns text
language plpgsql stable security definer set search_path = cortex, pg_temp as $$
declare
  candidate text;
  nearest   text;
  best      integer := greatest(3, length(left(p_type, 64)) / 3) + 1;
  previous  integer[];
  current   integer[];
  given     text := left(lower(p_type), 64);
begin
  for candidate in select t.type from cortex.event_types t order by t.type limit 1000 loop
    previous := array(select generate_series(0, length(candidate)));
    for i in 1 .. length(given) loop
      current := array[i];
      for j in 1 .. length(candidate) loop
        current := current || least(
          previous[j + 1] + 1,
          current[j] + 1,
          previous[j] + (substr(given, i, 1) <> substr(candidate, j, 1))::integer);
      end loop;
      previous := current;
    end loop;
    if previous[length(candidate) + 1] < best then
      best := previous[length(candidate) + 1];
      nearest := candidate;
    end if;
  end loop;
  return nearest;
end
$$;

-- What a JSON document breaks, in words, or null. jsonb takes what Java and browsers cannot: nesting of
-- thousands, numbers of 131,072 digits. Exact and slow; the fan-out asks only about documents that look it.
create function cortex.json_defect(p_document jsonb, p_max_bytes integer) returns text
language plpgsql immutable parallel safe as $$
declare
  bytes integer := octet_length(p_document::text);
  depth integer := 0;
  level jsonb[] := array[p_document];
begin
  if bytes > p_max_bytes then
    return format('may have at most %s bytes of JSON, has %s', p_max_bytes, bytes);
  end if;
  while cardinality(level) > 0 loop
    if exists (select from unnest(level) v where jsonb_typeof(v) = 'number' and length(translate(v::text, '-.', '')) > 1000) then
      return 'may hold numbers of at most 1000 digits, holds a longer one';
    end if;
    level := array(select v from unnest(level) v where jsonb_typeof(v) in ('object', 'array'));
    depth := depth + least(cardinality(level), 1);
    if depth > 100 then
      return 'may be nested at most 100 deep, is nested deeper';
    end if;
    level := array(
      select child
        from unnest(level) v
       cross join lateral (
         select value as child from jsonb_each(case jsonb_typeof(v) when 'object' then v end)
         union all
         select value from jsonb_array_elements(case jsonb_typeof(v) when 'array' then v end)) children);
  end loop;
  return null;
end
$$;

-- True for every document that json_defect would refuse, and for few others. The fan-out does not even ask about
-- a document of at most 200 bytes, which can neither nest 100 deep nor hold 1000 digits.
create function cortex.json_is_suspect(p_text text, p_max_bytes integer) returns boolean
language plpgsql immutable parallel safe as $$
begin
  return octet_length(p_text) > p_max_bytes
      or length(p_text) - length(translate(p_text, '{[', '')) > 100
      or length(p_text) > 1000 and strpos(translate(p_text, '123456789.', '000000000'), repeat('0', 1001)) > 0;
end
$$;

-- Raises the error that a bad event deserves: field, rule and value. Only the first one is named. A program reads
-- the parts from the fields of the error, never from its text: COLUMN has the field, CONSTRAINT the rule in words,
-- DATATYPE the value (empty: not to be shown), and the SQLSTATE says which kind of defect it is:
--   not_null_violation      a field is missing
--   check_violation         a field breaks a rule
--   foreign_key_violation   the type is unknown
--   unique_violation        an id or a dedupe key stands for another event
--   program_limit_exceeded  a document is too large, too deep or holds too long a number
create function cortex.refuse(p_field text, p_rule text, p_value text, p_code text default 'check_violation') returns void
language plpgsql as $$
begin
  raise exception using
    errcode = p_code,
    message = format('event refused: %s %s%s', p_field, p_rule, ', was "' || left(p_value, 200) || '"'),
    column = p_field,
    constraint = p_rule,
    datatype = coalesce(left(p_value, 200), '');
end
$$;

-- After every INSERT or COPY into events, once per statement: checks what needs a look at other tables, drops
-- repeated ids and dedupe keys, makes the deliveries and wakes a sleeper.
--
-- Locks: dedupe_keys rows in the order of their keys (an emitter waits for another one with the same key, and two
-- can only wait in a circle when one transaction emits in several statements); K shared until its transaction ends.
create function cortex.fan_out() returns trigger
language plpgsql security definer set search_path = cortex, pg_temp as $$
declare
  v_settings    cortex.settings;
  v_now         timestamptz := clock_timestamp();
  v_keyed       boolean;
  v_unknown     boolean;
  v_suspect     boolean;
  v_looping     boolean;
  v_delivered   boolean;
  v_repeated    bigint[] := '{}';
  v_originals   bigint[];
  v_original_at timestamptz[];
begin
  select * into v_settings from cortex.settings;

  select bool_or(n.event_id is not null or n.dedupe_key is not null),
         bool_or(t.type is null),
         bool_or(octet_length(n.payload::text) > 200 and cortex.json_is_suspect(n.payload::text, v_settings.max_payload_bytes)
              or octet_length(n.metadata::text) > 200 and cortex.json_is_suspect(n.metadata::text, v_settings.max_payload_bytes)
              or octet_length(n.extensions::text) > 200 and cortex.json_is_suspect(n.extensions::text, v_settings.max_payload_bytes)),
         bool_or(n.causation_depth > v_settings.max_causation_depth)
    into v_keyed, v_unknown, v_suspect, v_looping
    from new_events n
    left join cortex.event_types t on t.type = n.type;

  if v_unknown then
    perform case
              when n.type !~ '^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$' then
                cortex.refuse('type', 'must be dotted lower case', n.type)
              when not v_settings.allow_unknown_types then
                cortex.refuse('type', 'must be a known type' || coalesce(' (did you mean "' || cortex.nearest_type(n.type) || '"?)', ''),
                              n.type, 'foreign_key_violation')
            end
       from new_events n
      where not exists (select from cortex.event_types t where t.type = n.type);
  end if;

  if v_suspect then
    perform cortex.refuse(d.field, d.defect, null, 'program_limit_exceeded')
       from new_events n
      cross join lateral (values
              ('payload', cortex.json_defect(n.payload, v_settings.max_payload_bytes)),
              ('metadata', cortex.json_defect(n.metadata, v_settings.max_payload_bytes)),
              ('extensions', cortex.json_defect(n.extensions, v_settings.max_payload_bytes))) d(field, defect)
      where d.defect is not null;
  end if;

  if v_keyed then
    insert into cortex.dedupe_keys (scope, key, event, event_at)
    select k.scope, k.key, n.id, n.received_at
      from new_events n
      left join cortex.event_types t on t.type = n.type
     cross join lateral (values ('event_id', n.event_id), (coalesce(t.alias_of, n.type), n.dedupe_key)) k(scope, key)
     where k.key is not null
       and not exists (select from cortex.locate_event(n.event_id))
     order by k.scope, k.key, n.id
        on conflict do nothing;

    -- A fresh statement, so that it sees what a concurrent transaction committed while the one above waited.
    select coalesce(array_agg(r.id), '{}'), array_agg(r.event), array_agg(r.event_at)
      into v_repeated, v_originals, v_original_at
      from (select distinct on (n.id) n.id, o.event, o.event_at
              from new_events n
              left join cortex.event_types t on t.type = n.type
             cross join lateral (
                     select l.id as event, l.received_at as event_at
                       from cortex.locate_event(n.event_id) l
                      union all
                     select k.event, k.event_at
                       from cortex.dedupe_keys k
                      where (k.scope, k.key) = (coalesce(t.alias_of, n.type), n.dedupe_key)) o
             where o.event <> n.id
             order by n.id, o.event) r;

    -- Equal content is a repetition and is dropped; other content under the same id or key is a mistake.
    perform case
              when n.event_id is not distinct from cortex.public_event_id(e.id, e.received_at, e.event_id) then
                cortex.refuse('event_id', 'must be new or repeat the event that has it', n.event_id, 'unique_violation')
              else
                cortex.refuse('dedupe_key', 'must be new or come with the payload of the event that has it', n.dedupe_key, 'unique_violation')
            end
       from unnest(v_repeated, v_originals, v_original_at) r(id, event, event_at)
       join new_events n on n.id = r.id
       join cortex.events e on e.id = r.event and e.received_at = r.event_at
       left join cortex.event_types nt on nt.type = n.type
       left join cortex.event_types et on et.type = e.type
      where n.payload is distinct from e.payload
         or n.event_id is not distinct from cortex.public_event_id(e.id, e.received_at, e.event_id)
            and (coalesce(nt.alias_of, n.type), n.source, n.correlation_id, n.key)
                is distinct from (coalesce(et.alias_of, e.type), e.source, e.correlation_id, e.key);

    if v_repeated <> '{}' then
      delete from cortex.dedupe_keys k
       using new_events n
        left join cortex.event_types t on t.type = n.type
       where n.id = any (v_repeated)
         and k.event = n.id
         and ((k.scope, k.key) = ('event_id', n.event_id) or (k.scope, k.key) = (coalesce(t.alias_of, n.type), n.dedupe_key));
      delete from cortex.events e
       using new_events n
       where n.id = any (v_repeated)
         and e.id = n.id
         and e.received_at = n.received_at;
    end if;
  end if;

  insert into cortex.deliveries (handler_id, lane, priority, run_at, event, event_at, key)
  select r.handler_id,
         case when r.held then -1 when r.lanes > 0 and k.key is not null then cortex.lane_of(k.key, r.lanes) else 0 end,
         case when r.lanes > 0 then 'medium' else coalesce(n.priority, 'medium') end,
         case when n.causation_depth > v_settings.max_causation_depth then 'infinity' else greatest(n.run_at, v_now) end,
         n.id,
         n.received_at,
         k.key
    from new_events n
    join cortex.routes r on r.type = n.type
   cross join lateral (select case when r.lanes > 0 then coalesce(n.payload #>> r.key_path, n.key) end as key) k
   where not n.log_only
     and n.id <> all (v_repeated)
   order by n.id;
  v_delivered := found;

  if v_unknown then
    -- No route can name a type that nobody knows: the patterns are asked. Held types and lanes need a known type.
    insert into cortex.deliveries (handler_id, priority, run_at, event, event_at)
    select distinct on (n.id, s.handler_id)
           s.handler_id,
           coalesce(n.priority, 'medium'),
           case when n.causation_depth > v_settings.max_causation_depth then 'infinity' else greatest(n.run_at, v_now) end,
           n.id,
           n.received_at
      from new_events n
      join cortex.subscriptions s on cortex.type_matches(n.type, s.pattern)
     where not exists (select from cortex.event_types t where t.type = n.type)
       and not n.log_only
       and n.id <> all (v_repeated);
    v_delivered := v_delivered or found;
  end if;

  if not v_delivered then
    return null;
  end if;

  if v_looping then
    insert into cortex.attempts (event, event_at, started_at, outcome, handler_id, generation, attempt, reason, error)
    select d.event, d.event_at, v_now, 'dead', d.handler_id, d.generation, 0, 'loop',
           format('causation depth %s is above %s', n.causation_depth, v_settings.max_causation_depth)
      from new_events n
      join cortex.deliveries d on d.event = n.id
     where n.causation_depth > v_settings.max_causation_depth;
  end if;

  -- Refused only while somebody sleeps: then, and only then, pay for a NOTIFY, which takes a database-wide lock
  -- at commit. The payload names the handlers; an empty one names all.
  if not pg_try_advisory_xact_lock_shared(cortex.wake_key()) then
    perform pg_notify('cortex_wake', case when v_unknown then '' else (
      select string_agg(distinct r.handler_id::text, ',')
        from new_events n join cortex.routes r on r.type = n.type) end);
  end if;
  return null;
end
$$;

create trigger fan_out after insert on cortex.events
  referencing new table as new_events
  for each statement execute function cortex.fan_out();

-- The public id of the event that holds this id or this dedupe key of its type: the one emitted last, or the one that
-- it repeated. Where both are held, by the older one. An id that was given outlives its event's retention.
create function cortex.emitted_as(p_type text, p_dedupe_key text, p_event_id text) returns text
language sql stable security definer set search_path = cortex, pg_temp as $$
  select holder.public_id
    from (select l.id as event, p_event_id as public_id
            from cortex.locate_event(p_event_id) l
           union all
          select k.event, cortex.public_event_id(k.event, k.event_at, e.event_id)
            from cortex.dedupe_keys k
            left join cortex.events e on e.id = k.event and e.received_at = k.event_at
           where k.scope = coalesce((select t.alias_of from cortex.event_types t where t.type = p_type), p_type)
             and k.key = p_dedupe_key) holder
   order by holder.event
   limit 1
$$;

-- Emits one event and returns its public id; a repetition returns the id of the event that was first. Everything
-- after the source is optional and best given by name:
--   select cortex.emit('task.failed', 'worker-7', '{"task_id": "t-1"}', priority => 'high');
-- An event with a causation id inherits the correlation of its cause and is one step deeper.
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
  event_id       text        default null
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
