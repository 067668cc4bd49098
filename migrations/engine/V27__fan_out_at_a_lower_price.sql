-- Emitting at a lower price: the fan-out looks closely only at what is out of the ordinary, and whether a document
-- is, it finds out six times as fast. The older json_is_suspect(text, integer) stays for emitters that are under way.
-- Locks: ACCESS EXCLUSIVE on event_types and dedupe_keys, for milliseconds and the building of an index that is empty
-- until a type gets a period; SHARE UPDATE EXCLUSIVE on routes and settings. Run before the code's deploy.

set local role ${owner};

-- The planner takes a table that was never analysed for ten pages, and hashes a thousand new events to look ten
-- routes up. These are too small for autovacuum to come by itself.
alter table cortex.event_types set (autovacuum_analyze_threshold = 1, autovacuum_analyze_scale_factor = 0.1);
alter table cortex.routes set (autovacuum_analyze_threshold = 1, autovacuum_analyze_scale_factor = 0.1);
analyze cortex.event_types, cortex.routes, cortex.settings;

-- Dedupe keys that count for a period only. What has none pays the predicate of an index.
alter table cortex.event_types
  add column dedupe_period interval,
  add constraint dedupe_period_is_at_least_a_second check (dedupe_period >= interval '1 second');
alter table cortex.dedupe_keys add column expires_at timestamptz;
create index dedupe_keys_expiring on cortex.dedupe_keys (expires_at) where expires_at is not null;

comment on column cortex.event_types.dedupe_period is
  'How long a dedupe key of the type counts from the receipt of its event on; null: as long as the key is kept. Of an alias its canonical type''s counts. A change holds for keys that are given from then on.';
comment on column cortex.dedupe_keys.expires_at is 'From then on the key is free and may be given to another event; null: never.';

-- True for every document that json_defect would refuse, and for few others. The fan-out does not even ask about
-- a document of at most 200 bytes, which can neither nest 100 deep nor hold 1000 digits. replace() runs through a
-- text many times as fast as translate() does; a number of more than 1000 digits has 250 of them in a row; and
-- no limit under a kibibyte can be set. Strict, since null and something is not decided by the null. Called inside the fan-out only, so that its search path holds.
create function cortex.json_is_suspect(p_text text) returns boolean
language plpgsql stable strict as $$
begin
  if octet_length(p_text) > 1024 then
    perform from cortex.settings s where s.max_payload_bytes < octet_length(p_text);
    if found then
      return true;
    end if;
  end if;
  return octet_length(p_text) - octet_length(replace(replace(p_text, '{', ''), '[', '')) > 100
      or octet_length(p_text) > 1000 and p_text ~ '[0-9]{250}';
end
$$;

-- After every INSERT or COPY into events, once per statement: checks what needs a look at other tables, drops
-- repeated ids and dedupe keys, makes the deliveries and wakes a sleeper.
--
-- Locks: dedupe_keys rows in the order of their keys (an emitter waits for another one with the same key, and two
-- can only wait in a circle when one transaction emits in several statements); K shared until its transaction ends;
-- above READ COMMITTED, the routes of its types FOR SHARE.
create or replace function cortex.fan_out() returns trigger
language plpgsql security definer set search_path = cortex, pg_temp as $$
declare
  v_settings    cortex.settings;
  v_now         timestamptz := clock_timestamp();
  v_max_depth   smallint;
  v_rare        boolean;
  v_keyed       boolean := false;
  v_expiring    boolean := false;
  v_unknown     boolean := false;
  v_suspect     boolean := false;
  v_looping     boolean := false;
  v_delivered   boolean;
  v_awake       smallint[];
  v_repeated    bigint[] := '{}';
  v_pass        bigint[];
  v_originals   bigint[];
  v_original_at timestamptz[];
begin
  -- The first look asks only whether anything is out of the ordinary. Most statements are not, and pay for no more
  -- than this and the INSERT below: a statement in here costs as much as a third of the emitter's own. An aggregate,
  -- since a LIMIT would have the planner look up each row's type by itself.
  select bool_or(t.type is null
              or n.event_id is not null
              or n.dedupe_key is not null
              or n.causation_depth > 1  -- the lowest limit that can be set
              or octet_length(n.payload::text) > 200 and cortex.json_is_suspect(n.payload::text)
              or octet_length(n.metadata::text) > 200 and cortex.json_is_suspect(n.metadata::text)
              or octet_length(n.extensions::text) > 200 and cortex.json_is_suspect(n.extensions::text))
    into v_rare
    from new_events n
    left join cortex.event_types t on t.type = n.type;

  if v_rare then
    select * into v_settings from cortex.settings;
    v_max_depth := v_settings.max_causation_depth;
    select bool_or(n.event_id is not null or n.dedupe_key is not null),
           bool_or(n.dedupe_key is not null and (t.dedupe_period is not null or t.alias_of is not null)),
           bool_or(t.type is null),
           bool_or(octet_length(n.payload::text) > 200 and cortex.json_is_suspect(n.payload::text)
                or octet_length(n.metadata::text) > 200 and cortex.json_is_suspect(n.metadata::text)
                or octet_length(n.extensions::text) > 200 and cortex.json_is_suspect(n.extensions::text)),
           bool_or(n.causation_depth > v_max_depth)
      into v_keyed, v_expiring, v_unknown, v_suspect, v_looping
      from new_events n
      left join cortex.event_types t on t.type = n.type;
  end if;

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

  -- A key whose period is over is free. Waits for whoever frees it at the same time, and finds the key then taken.
  if v_expiring then
    delete from cortex.dedupe_keys d
     using (select k.scope, k.key
              from cortex.dedupe_keys k
             where (k.scope, k.key) in (
                     select coalesce(t.alias_of, t.type), n.dedupe_key
                       from new_events n
                       join cortex.event_types t on t.type = n.type
                      where n.dedupe_key is not null)
               and k.expires_at <= v_now
             order by k.scope, k.key
               for update) free
     where (d.scope, d.key) = (free.scope, free.key);
  end if;

  -- A repetition of an event that is itself dropped repeats nothing: one more pass for those.
  while v_keyed loop
    insert into cortex.dedupe_keys (scope, key, event, event_at, expires_at)
    select k.scope, k.key, n.id, n.received_at,
           case when v_expiring and k.scope <> 'event_id' then n.received_at + c.dedupe_period end
      from new_events n
      left join cortex.event_types t on t.type = n.type
      left join cortex.event_types c on c.type = coalesce(t.alias_of, t.type)
     cross join lateral (values ('event_id', n.event_id), (coalesce(t.alias_of, n.type), n.dedupe_key)) k(scope, key)
     where k.key is not null
       and n.id <> all (v_repeated)
       and not exists (select from cortex.locate_event(n.event_id))
     order by k.scope, k.key, n.id
        on conflict do nothing;

    -- A fresh statement, so that it sees what a concurrent transaction committed while the one above waited.
    with repeated as materialized (
      select distinct on (n.id) n.id, o.event, o.event_at
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
         and n.id <> all (v_repeated)
       order by n.id, o.event),
    marked as (
      select r.*, r.event in (select x.id from repeated x) as is_chained from repeated r)
    select coalesce(array_agg(m.id) filter (where not m.is_chained), '{}'),
           array_agg(m.event) filter (where not m.is_chained),
           array_agg(m.event_at) filter (where not m.is_chained),
           coalesce(bool_or(m.is_chained), false)
      into v_pass, v_originals, v_original_at, v_keyed
      from marked m;
    exit when v_pass = '{}';

    -- Equal content is a repetition and is dropped; other content under the same id or key is a mistake.
    perform case
              when n.event_id is not distinct from cortex.public_event_id(e.id, e.received_at, e.event_id) then
                cortex.refuse('event_id', 'must be new or repeat the event that has it', n.event_id, 'unique_violation')
              else
                cortex.refuse('dedupe_key', 'must be new or come with the payload of the event that has it', n.dedupe_key, 'unique_violation')
            end
       from unnest(v_pass, v_originals, v_original_at) r(id, event, event_at)
       join new_events n on n.id = r.id
       join cortex.events e on e.id = r.event and e.received_at = r.event_at
       left join cortex.event_types nt on nt.type = n.type
       left join cortex.event_types et on et.type = e.type
      where n.payload is distinct from e.payload
         or n.event_id is not distinct from cortex.public_event_id(e.id, e.received_at, e.event_id)
            and (coalesce(nt.alias_of, n.type), n.source, n.correlation_id, n.key)
                is distinct from (coalesce(et.alias_of, e.type), e.source, e.correlation_id, e.key);

    delete from cortex.dedupe_keys k
     using new_events n
      left join cortex.event_types t on t.type = n.type
     where n.id = any (v_pass)
       and k.event = n.id
       and ((k.scope, k.key) = ('event_id', n.event_id) or (k.scope, k.key) = (coalesce(t.alias_of, n.type), n.dedupe_key));
    delete from cortex.events e
     using new_events n
     where n.id = any (v_pass)
       and e.id = n.id
       and e.received_at = n.received_at;
    v_repeated := v_repeated || v_pass;
  end loop;

  -- An older snapshot may show routes that are no longer true. Such an emitter fails and tries again, as it must be
  -- ready to; at READ COMMITTED, where every statement sees what is committed, nothing is locked.
  if current_setting('transaction_isolation') <> 'read committed' then
    perform from cortex.routes r
      where r.type in (select n.type from new_events n)
      order by r.type, r.handler_id
        for share;
  end if;

  insert into cortex.deliveries (handler_id, lane, priority, run_at, event, event_at, key)
  select r.handler_id,
         case when r.held then -1 when r.lanes > 0 and k.key is not null then cortex.lane_of(k.key, r.lanes) else 0 end,
         case when r.lanes > 0 then 'medium' else coalesce(n.priority, 'medium') end,
         case when n.causation_depth > v_max_depth then 'infinity' else greatest(n.run_at, v_now) end,
         n.id,
         n.received_at,
         k.key
    from new_events n
    join cortex.routes r on r.type = n.type
   cross join lateral (select case when r.lanes > 0 then coalesce(n.payload #>> r.key_path, n.key) end as key) k
   where not n.log_only
     and n.id <> all (v_repeated);
  v_delivered := found;

  if v_unknown then
    -- No route can name a type that nobody knows: the patterns are asked. Held types and lanes need a known type.
    insert into cortex.deliveries (handler_id, priority, run_at, event, event_at)
    select distinct on (n.id, s.handler_id)
           s.handler_id,
           coalesce(n.priority, 'medium'),
           case when n.causation_depth > v_max_depth then 'infinity' else greatest(n.run_at, v_now) end,
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
     cross join cortex.handlers h
      join cortex.deliveries d on (d.handler_id, d.event) = (h.handler_id, n.id) and d.run_at = 'infinity'
     where n.causation_depth > v_max_depth;
  end if;

  -- Refused only while somebody sleeps: then, and only then, pay for a NOTIFY, which takes a database-wide lock
  -- at commit. The payload names the handlers; an empty one names all.
  if not pg_try_advisory_xact_lock_shared(cortex.wake_key()) then
    if not v_unknown then
      select array_agg(distinct r.handler_id) into v_awake
        from new_events n
        join cortex.routes r on r.type = n.type;
    end if;
    perform cortex.wake(v_awake);
  end if;
  return null;
end
$$;

revoke all on function cortex.json_is_suspect(text) from public;
