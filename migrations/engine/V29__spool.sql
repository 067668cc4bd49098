-- Who drains a spool keeps in the quarantine what the database refuses; that may be a worker, or an emitter's own host.
-- Locks: nothing that anyone else holds. Time: milliseconds. Run before the code's deploy.

set local role ${owner};

-- As in V6, but who may emit is not believed: a digest that is not of these bytes would pass for that of others, and
-- theirs would not be kept. Of an input that is kept in part, the part counts too;
-- of an empty one only what is given, so that each empty file is told.
create or replace function cortex.quarantine(
  p_origin text, p_reason text, p_detail text, p_raw bytea, p_raw_bytes bigint, p_digest bytea
) returns boolean
language plpgsql security definer set search_path = cortex, pg_temp as $$
declare
  c_kept_bytes constant integer := 1048576;
begin
  if octet_length(p_raw) is distinct from least(p_raw_bytes, c_kept_bytes) then
    raise exception using
      errcode = 'invalid_parameter_value',
      message = format('input refused: raw must be the first mebibyte of raw_bytes, was %s of %s bytes',
                       octet_length(p_raw), p_raw_bytes);
  end if;
  insert into cortex.quarantined (origin, reason, detail, raw, raw_bytes, digest)
  values (left(p_origin, 1000), left(p_reason, 1000), left(p_detail, 1000), p_raw, p_raw_bytes,
          case
            when p_raw_bytes between 1 and c_kept_bytes then sha256(p_raw)
            else sha256(p_raw || int8send(p_raw_bytes) || p_digest)
          end)
      on conflict (digest) do nothing;
  return found;
end
$$;

grant execute on function cortex.quarantine to ${emitter}, ${worker};

comment on function cortex.quarantine is 'Keeps an input that is no event, once; for importers, and for who drains a spool.';
comment on column cortex.quarantined.digest is
  'SHA-256 of its bytes, which makes a second import of the same file change nothing; of what is empty or kept in part, of the part, the size and the digest that was given.';
comment on table cortex.quarantined is 'Invalid input of imports and spools, with the reason; nothing that was read is lost.';
