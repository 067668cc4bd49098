-- An import brings back what an archive run has taken out of the log, and only looks up what the log has.
-- Locks: nothing that anyone else holds. Time: milliseconds. Run before the code's deploy.

set local role ${owner};

-- Which of these events the log has, by their places: an id as cortex.locate_event finds it, with the content that the
-- fan-out compares. All of a batch in one statement, each by two probes of primary keys: the plan is pinned, whatever the
-- planner knows or believes of tables that an import is just filling. An id that the database has generated holds the
-- event's number, which is probed in every month, since digits that are no date must not fail.
create function cortex.recorded_among(
  p_event_ids text[], p_types text[], p_sources text[], p_correlation_ids text[], p_keys text[], p_payloads jsonb[]
) returns bigint[]
language plpgsql stable set search_path = cortex, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
declare
  v_last bigint := (select s.last_value from cortex.events_id_seq s);
begin
  return (
    select coalesce(array_agg(g.place), '{}')
      from (select u.*, m.parts[1] as second, ('x' || lpad(m.parts[2], 16, '0'))::bit(64)::bigint as number
              from unnest(p_event_ids, p_types, p_sources, p_correlation_ids, p_keys, p_payloads) with ordinality
                   as u(event_id, type, source, correlation_id, key, payload, place)
             cross join lateral regexp_match(u.event_id, '^evt_([0-9]{8}_[0-9]{6})_([1-9a-f][0-9a-f]{0,14})$') m(parts)) g
      left join lateral (
             select e.id, e.received_at
               from cortex.events e
              where g.number <= v_last
                and e.id = g.number
                and e.event_id is null
                and to_char(e.received_at at time zone 'UTC', 'YYYYMMDD_HH24MISS') = g.second) n on true
      left join lateral (
             select k.event, k.event_at
               from cortex.dedupe_keys k
              where n.id is null
                and k.scope = 'event_id'
                and k.key = g.event_id) k on true
      join cortex.events e on e.id = coalesce(n.id, k.event) and e.received_at = coalesce(n.received_at, k.event_at)
      left join cortex.event_types et on et.type = e.type
      left join cortex.event_types gt on gt.type = g.type
     where e.payload is not distinct from g.payload
       and (coalesce(et.alias_of, e.type), e.source, e.correlation_id, e.key)
           is not distinct from (coalesce(gt.alias_of, g.type), g.source, g.correlation_id, g.key));
end
$$;

-- Gives an id or a dedupe key away whose event has left the log.
-- Locks: the key.
create function cortex.release_key_of_gone(p_scope text, p_key text) returns void
language plpgsql set search_path = cortex, pg_temp as $$
declare
  v_key cortex.dedupe_keys;
begin
  select * into v_key from cortex.dedupe_keys k where k.scope = p_scope and k.key = p_key;
  if found and not exists (select from cortex.events e where e.id = v_key.event and e.received_at = v_key.event_at) then
    delete from cortex.dedupe_keys k where k.scope = p_scope and k.key = p_key and k.event = v_key.event;
  end if;
end
$$;

-- How many of these are in the log. The plan is pinned, since one that was made for a small log is kept by the session.
create function cortex.count_recorded(p_events bigint[], p_event_ats timestamptz[]) returns integer
language plpgsql stable set search_path = cortex, pg_temp
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
begin
  return (
    select count(*)
      from unnest(p_events, p_event_ats) i(id, received_at)
      join cortex.events e on e.id = i.id and e.received_at = i.received_at);
end
$$;

revoke all on function cortex.recorded_among, cortex.release_key_of_gone, cortex.count_recorded from public;

-- As in V6, and besides: ids and dedupe keys outlive their events, so that nothing comes twice. Of events that are for
-- the log only, and so run nothing again, they are given to the event that is imported. With delivery they hold.
--
-- An event that repeats one of the log is not written to be deleted again: a second run over an archive reads only.
-- What this look does not see, the fan-out drops or refuses.
create or replace function cortex.import_events(
  p_types           text[],
  p_sources         text[],
  p_payloads        jsonb[],
  p_correlation_ids text[],
  p_priorities      text[],
  p_keys            text[],
  p_dedupe_keys     text[],
  p_run_ats         timestamptz[],
  p_occurred_ats    timestamptz[],
  p_metadata        jsonb[],
  p_event_ids       text[],
  p_causation_ids   text[],
  p_extensions      jsonb[],
  p_log_only        boolean
) returns integer
language plpgsql security definer set search_path = cortex, pg_temp as $$
declare
  v_known bigint[];
  v_new   bigint[];
  v_ids   bigint[];
  v_ats   timestamptz[];
begin
  v_known := cortex.recorded_among(p_event_ids, p_types, p_sources, p_correlation_ids, p_keys, p_payloads);
  select coalesce(array_agg(n.place), '{}') into v_new
    from generate_series(1, cardinality(p_types)) n(place)
   where n.place <> all (v_known);

  if p_log_only then
    perform cortex.release_key_of_gone('event_id', p_event_ids[n.place]),
            cortex.release_key_of_gone(
              coalesce((select t.alias_of from cortex.event_types t where t.type = p_types[n.place]), p_types[n.place]),
              p_dedupe_keys[n.place])
       from unnest(v_new) n(place);
  end if;

  with inserted as (
    insert into cortex.events (
      type, source, payload, correlation_id, priority, key, dedupe_key, run_at, occurred_at, metadata, event_id,
      causation_id, extensions, log_only)
    select g.type, g.source, g.payload, g.correlation_id, g.priority::cortex.priority, g.key, g.dedupe_key, g.run_at,
           coalesce(g.occurred_at, clock_timestamp()), g.metadata, g.event_id, g.causation_id, g.extensions, p_log_only
      from unnest(
             p_types, p_sources, p_payloads, p_correlation_ids, p_priorities, p_keys, p_dedupe_keys, p_run_ats,
             p_occurred_ats, p_metadata, p_event_ids, p_causation_ids, p_extensions)
           with ordinality as g(
             type, source, payload, correlation_id, priority, key, dedupe_key, run_at, occurred_at, metadata, event_id,
             causation_id, extensions, place)
     where g.place = any (v_new)
     order by g.place
    returning id, received_at
  )
  select array_agg(i.id), array_agg(i.received_at) into v_ids, v_ats from inserted i;

  return cortex.count_recorded(v_ids, v_ats);  -- the fan-out has removed what was a repetition
end
$$;
