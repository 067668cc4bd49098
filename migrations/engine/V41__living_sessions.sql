-- A worker whose listening session alone was cut lives: what it runs is no cause of a death.
-- Locks: none but those of the catalogue. Run before the code's deploy; older workers gain by it too.

set local role ${owner};

-- Whether one of the worker's slots still has a transaction open in which it has claimed something, as only a session
-- of its own can have. Of a process that was killed in the middle of a statement, the server may have such a session
-- for a while: its rows are locked for as long.
create function cortex.has_open_slot(p_worker integer) returns boolean
language sql stable security definer set search_path = cortex, pg_temp as $$
  select exists (
    select from cortex.slots s
      join pg_catalog.pg_locks l on l.pid = s.pid
      join pg_catalog.pg_database d on d.oid = l.database
     where s.worker_id = p_worker
       and d.datname = current_database()
       and l.locktype = 'relation'
       and l.relation = 'cortex.deliveries'::regclass
       and l.granted)
$$;

revoke all on function cortex.has_open_slot from public;

-- As in V28, but that what a dead worker showed is suspected, all of it at once, when none of it is still being run.
-- Until then its rows stay, for the next look.
-- Locks: as in V28.
create or replace function cortex.bury_vanished_workers(p_self integer) returns setof integer
language plpgsql security definer set search_path = cortex, pg_temp as $$
declare
  v_missing  integer[];
  v_vanished integer[];
  v_dead     integer[];
begin
  v_missing := array(
    select w.worker_id
      from cortex.workers w
     where w.stopped_at is null
       and w.worker_id <> p_self
       and (w.started_at > pg_postmaster_start_time()
            or pg_postmaster_start_time() < clock_timestamp() - interval '10 seconds')
       and pg_try_advisory_xact_lock(cortex.worker_lock_class(), w.worker_id));
  if cardinality(v_missing) > 0 and not cortex.is_outage(p_self) then
    with vanished as (
      update cortex.workers w
         set stopped_at = clock_timestamp(), vanished = true
       where w.worker_id = any (v_missing)
         and w.stopped_at is null
      returning w.worker_id
    )
    select array_agg(worker_id) into v_vanished from vanished;
  end if;
  -- A look of its own, after the locks: who has left in the meantime shows nothing any more.
  v_dead := array(
    select gone.worker_id
      from (select distinct s.worker_id
              from cortex.slots s
              join cortex.workers w using (worker_id)
             where s.worker_id <> p_self
               and w.stopped_at is not null) gone
     where (gone.worker_id = any (v_vanished)
            or pg_try_advisory_xact_lock(cortex.worker_lock_class(), gone.worker_id))
       and not cortex.has_open_slot(gone.worker_id));
  if cardinality(v_dead) > 0 then
    insert into cortex.suspects as known (handler_id, event, deaths)
    select ran.handler_id, ran.event, max(case when ran.company = 1 then 1 else 0 end)
      from (select s.handler_id, e.event, count(*) over (partition by s.worker_id) as company
              from cortex.slots s
             cross join lateral unnest(s.events) e(event)
             where s.worker_id = any (v_dead)) ran
     group by ran.handler_id, ran.event
     order by ran.handler_id, ran.event
        on conflict (handler_id, event) do update
       set (deaths, suspected_at) = (known.deaths + excluded.deaths, excluded.suspected_at);
    delete from cortex.slots s where s.worker_id = any (v_dead);
  end if;
  if v_vanished is not null then
    delete from cortex.suspects s where s.suspected_at < clock_timestamp() - interval '1 hour';
    perform pg_notify('cortex_wake', '');
  end if;
  return query select unnest(v_vanished);
end
$$;
