-- Emitting many events in one call, and what an importer writes.
-- Locks: nothing that anyone else holds. Time: milliseconds. Run before the code's deploy.

set local role ${owner};

-- Emits events and returns their public ids in the order of the arguments, which are arrays of one length; a null
-- element states nothing. For each event the rules of cortex.emit. All or nothing.
-- Locks: those of the fan-out, for the whole set in one order.
create function cortex.emit_many(
  types           text[],
  sources         text[],
  payloads        jsonb[],
  correlation_ids text[],
  priorities      text[],
  keys            text[],
  dedupe_keys     text[],
  run_ats         timestamptz[],
  occurred_ats    timestamptz[],
  metadata        jsonb[],
  event_ids       text[],
  causation_ids   text[]
) returns setof text
language plpgsql security definer set search_path = cortex, pg_temp as $$
#variable_conflict use_column
declare
  v_ids bigint[];
  v_ats timestamptz[];
begin
  perform cortex.refuse('priority', 'must be critical, high, medium or low', given.label)
     from unnest(emit_many.priorities) given(label)
    where given.label <> all (enum_range(null::cortex.priority)::text[]);

  -- Ids are drawn in the order of the select, so that the n-th smallest one belongs to the n-th event.
  with inserted as (
    insert into cortex.events (
      type, source, payload, correlation_id, priority, key, dedupe_key, run_at, occurred_at, metadata, event_id,
      causation_id, causation_depth)
    select g.type, g.source, g.payload, coalesce(g.correlation_id, c.correlation_id, g.causation_id),
           g.priority::cortex.priority, g.key, g.dedupe_key, g.run_at, coalesce(g.occurred_at, clock_timestamp()),
           g.metadata, g.event_id, g.causation_id,
           case when g.causation_id is null then 0 else coalesce(c.causation_depth, 0) + 1 end
      from unnest(
             emit_many.types, emit_many.sources, emit_many.payloads, emit_many.correlation_ids, emit_many.priorities,
             emit_many.keys, emit_many.dedupe_keys, emit_many.run_ats, emit_many.occurred_ats, emit_many.metadata,
             emit_many.event_ids, emit_many.causation_ids)
           with ordinality as g(
             type, source, payload, correlation_id, priority, key, dedupe_key, run_at, occurred_at, metadata, event_id,
             causation_id, place)
      left join lateral (
             select e.correlation_id, e.causation_depth
               from cortex.locate_event(g.causation_id) l
               join cortex.events e on e.id = l.id and e.received_at = l.received_at
              where g.causation_id is not null) c on true
     order by g.place
    returning id, received_at
  )
  select array_agg(i.id order by i.id), array_agg(i.received_at order by i.id) into v_ids, v_ats from inserted i;

  return query
    select case
             when g.event_id is null and g.dedupe_key is null then cortex.public_event_id(v_ids[g.place], v_ats[g.place])
             else cortex.emitted_as(g.type, g.dedupe_key, g.event_id)
           end
      from unnest(emit_many.types, emit_many.dedupe_keys, emit_many.event_ids)
           with ordinality as g(type, dedupe_key, event_id, place)
     order by g.place;
end
$$;

comment on function cortex.emit_many is 'Emits many events in the caller''s transaction, all or none, and returns their public ids in order.';

-- Records archived events as they are and returns how many of them were new; the others repeat an event that the log
-- has. Unlike emit_many it keeps extensions, inherits nothing from a cause, and hands nothing to handlers when
-- p_log_only. All or nothing: one bad event refuses all.
-- Locks: those of the fan-out, for the whole set in one order.
create function cortex.import_events(
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
  v_ids bigint[];
  v_ats timestamptz[];
begin
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
     order by g.place
    returning id, received_at
  )
  select array_agg(i.id), array_agg(i.received_at) into v_ids, v_ats from inserted i;

  -- The fan-out has removed what was a repetition.
  return (
    select count(*)
      from unnest(v_ids, v_ats) i(id, received_at)
      join cortex.events e on e.id = i.id and e.received_at = i.received_at);
end
$$;

comment on function cortex.import_events is 'Records archived events and returns how many were new; for importers.';

-- Keeps an input that is no event; true when it was not kept before.
create function cortex.quarantine(
  p_origin text, p_reason text, p_detail text, p_raw bytea, p_raw_bytes bigint, p_digest bytea
) returns boolean
language plpgsql security definer set search_path = cortex, pg_temp as $$
begin
  insert into cortex.quarantined (origin, reason, detail, raw, raw_bytes, digest)
  values (p_origin, p_reason, p_detail, p_raw, p_raw_bytes, p_digest)
      on conflict (digest) do nothing;
  return found;
end
$$;

comment on function cortex.quarantine is 'Keeps an input that is no event, once; for importers.';
