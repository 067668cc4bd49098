-- Lookups that nobody can lead astray, and a bounded wait for a lock that anybody can take.
-- Locks: nothing that anyone else holds. Time: milliseconds. Run before the code's deploy.

set local role ${owner};

-- As in V4, but that an id which the database has generated is looked for first. An emitter can give an id in the form
-- of one that is still to be generated; the event that gets it afterwards must be found by it all the same.
create or replace function cortex.locate_event(p_event_id text) returns table (id bigint, received_at timestamptz)
language plpgsql stable security definer set search_path = cortex, pg_temp as $$
declare
  parts  text[];
  second timestamptz;
begin
  parts := regexp_match(p_event_id, '^evt_([0-9]{8}_[0-9]{6})_([1-9a-f][0-9a-f]{0,14})$');
  if parts is not null then
    begin
      second := to_timestamp(parts[1] || ' +00', 'YYYYMMDD_HH24MISS TZH');
    exception when others then
      null;  -- its digits are no date
    end;
    return query
      select e.id, e.received_at
        from cortex.events e
       where e.id = ('x' || lpad(parts[2], 16, '0'))::bit(64)::bigint
         and e.received_at >= second
         and e.received_at < second + interval '1 second'
         and e.event_id is null;
    if found then
      return;
    end if;
  end if;
  return query select k.event, k.event_at from cortex.dedupe_keys k where k.scope = 'event_id' and k.key = p_event_id;
end
$$;

-- Any login can take an advisory lock: a change of types or subscriptions gives up in the end, and is tried again.
alter function cortex.refresh_routes() set lock_timeout = '5s';

-- Workers of this version call functions of V12 to V19; those of the version before go on as they are.
update cortex.settings set schema_version = 2;
