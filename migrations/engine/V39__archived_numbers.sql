-- The archived audit names events by their numbers, so an archived event says which number it had.
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
