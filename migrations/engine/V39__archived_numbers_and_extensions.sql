-- The archived audit names events by their numbers, so an archived event says which number it had. And an event that is
-- emitted may have fields beside those of the envelope, as an imported one always could: scripts write them.
-- Locks: nothing that anyone else holds. Time: milliseconds. Run before the code's deploy.

set local role ${owner};

-- As in V31, and besides: the event's number in the log and when it was received, in one member that an import passes
-- over. A member of that name is nobody else's; one that came back without such an import is not written twice.
create or replace function cortex.archive_line(
  p_id bigint, p_received_at timestamptz, p_occurred_at timestamptz, p_run_at timestamptz, p_priority cortex.priority,
  p_type text, p_source text, p_event_id text, p_correlation_id text, p_causation_id text, p_key text, p_dedupe_key text,
  p_payload jsonb, p_metadata jsonb, p_extensions jsonb
) returns text
language sql stable parallel safe as $$
  select left(cortex.event_line(
                cortex.public_event_id(p_id, p_received_at, p_event_id),
                coalesce((select t.alias_of from cortex.event_types t where t.type = p_type), p_type),
                p_occurred_at, p_source, p_correlation_id, p_priority, p_metadata, p_payload,
                p_extensions - 'cortex_log'), -1)
      || coalesce(', "causation_id": ' || to_json(p_causation_id)::text, '')
      || coalesce(', "key": ' || to_json(p_key)::text, '')
      || coalesce(', "dedupe_key": ' || to_json(p_dedupe_key)::text, '')
      || coalesce(', "run_at": "' || cortex.iso_time(p_run_at) || '"', '')
      || ', "cortex_log": {"number": ' || p_id || ', "received_at": "' || cortex.iso_time(p_received_at) || '"}'
      || '}'
$$;

comment on function cortex.archive_lines is
  'The lines of some blocks of a detached month: of events their envelopes, with cortex_log.number; of attempts one object each, whose member event is that number.';

-- Refuses extensions that would hide a field of the envelope.
create function cortex.check_extensions(p_extensions jsonb) returns void
language plpgsql stable set search_path = cortex, pg_temp as $$
begin
  if p_extensions ?| array['event_id', 'event_type', 'timestamp', 'source', 'correlation_id', 'metadata', 'payload', 'key',
                           'dedupe_key', 'run_at', 'causation_id'] then
    perform cortex.refuse('extensions', 'may hold no field of an event', null);
  end if;
end
$$;

-- As in V21, and besides: extensions, the fields that an envelope does not define.
drop function cortex.emit(
  text, text, jsonb, text, text, text, text, timestamptz, text, timestamptz, jsonb, text, text, bigint);

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
  event_id       text        default null,
  handler        text        default null,
  fence          bigint      default null,
  extensions     jsonb       default null
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
  elsif emit.extensions is not null then
    perform cortex.check_extensions(emit.extensions);
  end if;

  if emit.causation_id is not null then
    select e.* into v_cause
      from cortex.locate_event(emit.causation_id) l
      join cortex.events e on e.id = l.id and e.received_at = l.received_at;
  end if;

  -- KEY SHARE lets the lease be renewed, and keeps the delivery from everybody else until this transaction ends.
  if emit.handler is not null or emit.fence is not null then
    perform from cortex.deliveries d
      join cortex.handlers h on h.handler_id = d.handler_id
     where (h.name = emit.handler
            or h.handler_id = (select f.handler_id from cortex.former_handler_names f where f.name = emit.handler))
       and d.event = v_cause.id
       and d.fence = emit.fence
       and d.leased_by is not null
       and d.run_at > clock_timestamp()
       for key share of d;
    if not found then
      perform cortex.refuse('fence', 'must be that of a lease that is held', emit.fence::text);
    end if;
  end if;

  insert into cortex.events (
    type, source, payload, correlation_id, priority, key, dedupe_key, run_at, causation_id, causation_depth,
    occurred_at, metadata, event_id, extensions)
  values (
    emit.type, emit.source, emit.payload,
    coalesce(emit.correlation_id, v_cause.correlation_id, emit.causation_id),
    emit.priority::cortex.priority, emit.key, emit.dedupe_key, emit.run_at, emit.causation_id,
    case when emit.causation_id is null then 0 else coalesce(v_cause.causation_depth, 0) + 1 end,
    coalesce(emit.occurred_at, clock_timestamp()), emit.metadata, emit.event_id, emit.extensions)
  returning id, received_at into v_id, v_at;

  if emit.event_id is null and emit.dedupe_key is null then
    return cortex.public_event_id(v_id, v_at);
  end if;
  return cortex.emitted_as(emit.type, emit.dedupe_key, emit.event_id);
end
$$;

comment on function cortex.emit is 'Emits one event in the caller''s transaction and returns its public id.';

-- As in V6, likewise.
drop function cortex.emit_many(
  text[], text[], jsonb[], text[], text[], text[], text[], timestamptz[], timestamptz[], jsonb[], text[], text[]);

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
  causation_ids   text[],
  extensions      jsonb[] default null
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
  perform cortex.check_extensions(given.fields)
     from unnest(emit_many.extensions) given(fields)
    where given.fields is not null;

  -- Ids are drawn in the order of the select, so that the n-th smallest one belongs to the n-th event.
  with inserted as (
    insert into cortex.events (
      type, source, payload, correlation_id, priority, key, dedupe_key, run_at, occurred_at, metadata, event_id,
      causation_id, causation_depth, extensions)
    select g.type, g.source, g.payload, coalesce(g.correlation_id, c.correlation_id, g.causation_id),
           g.priority::cortex.priority, g.key, g.dedupe_key, g.run_at, coalesce(g.occurred_at, clock_timestamp()),
           g.metadata, g.event_id, g.causation_id,
           case when g.causation_id is null then 0 else coalesce(c.causation_depth, 0) + 1 end, g.extensions
      from unnest(
             emit_many.types, emit_many.sources, emit_many.payloads, emit_many.correlation_ids, emit_many.priorities,
             emit_many.keys, emit_many.dedupe_keys, emit_many.run_ats, emit_many.occurred_ats, emit_many.metadata,
             emit_many.event_ids, emit_many.causation_ids, emit_many.extensions)
           with ordinality as g(
             type, source, payload, correlation_id, priority, key, dedupe_key, run_at, occurred_at, metadata, event_id,
             causation_id, extensions, place)
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
comment on column cortex.events.extensions is 'Fields beside those that the envelope defines, kept as they were.';

-- The extensions of an event. Volatile, so that it sees an event that was committed after the caller's statement began:
-- cortex.lease beside it does too, and hands it out.
create function cortex.extensions_of(p_event bigint, p_event_at timestamptz) returns jsonb
language plpgsql volatile set search_path = cortex, pg_temp as $$
begin
  return (select e.extensions from cortex.events e where e.id = p_event and e.received_at = p_event_at);
end
$$;

revoke all on function cortex.check_extensions, cortex.emit, cortex.emit_many, cortex.extensions_of from public;
grant execute on function cortex.emit, cortex.emit_many to ${emitter}, ${worker}, ${operator};
grant execute on function cortex.extensions_of to ${worker};

update cortex.settings set schema_version = schema_version + 1;
