-- What a worker looks after from the side, in one round trip: two a second where there were six.
-- Locks: ACCESS EXCLUSIVE on workers for a column without a default, for milliseconds. Run before the code's deploy.

set local role ${owner};

alter table cortex.workers add column returned_at timestamptz;

comment on column cortex.workers.returned_at is 'When its session was back the last time that it had been lost.';

-- Whether nobody is to be buried for now: after an outage of the database, or of the way to it, everybody's locks are
-- free until everybody has come back, which takes a worker up to five seconds. A worker that has just been cut off
-- itself cannot tell who died, and one that is older than the server's start may still be on its way back.
create function cortex.is_outage(p_self integer) returns boolean
language sql stable security definer set search_path = cortex, pg_temp as $$
  select exists (
    select from cortex.workers w
     where w.worker_id = p_self
       and (w.returned_at > clock_timestamp() - interval '10 seconds'
            or not exists (
              select from pg_catalog.pg_locks l
                join pg_catalog.pg_database d on d.oid = l.database
               where l.locktype = 'advisory' and d.datname = current_database()
                 and l.classid = cortex.worker_lock_class() and l.objid = w.worker_id and l.objsubid = 2)))
$$;

-- As in V17, and besides: a worker that is taken for dead, because the lock of its life was free for a moment (the
-- server has restarted, the session was cut), works on and shows what it runs; if it dies before it has come back, it
-- dies a second time, and what it showed by then is suspected too. Found by what it shows. Nobody is buried in an
-- outage (cortex.is_outage), whose victims are not the dead. Returned are the newly dead.
-- Locks: the advisory lock and the row of each dead worker, until the transaction ends.
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
    select distinct s.worker_id
      from cortex.slots s
      join cortex.workers w using (worker_id)
     where s.worker_id <> p_self
       and w.stopped_at is not null
       and (s.worker_id = any (v_vanished)
            or pg_try_advisory_xact_lock(cortex.worker_lock_class(), s.worker_id)));
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

-- Removes up to this many dedupe keys whose periods are over, the oldest first, and returns how many.
-- Locks: those rows, SKIP LOCKED, so that an emitter is never waited for. Index: dedupe_keys_expiring.
create function cortex.prune_dedupe_keys(p_max_keys integer) returns integer
language plpgsql security definer set search_path = cortex, pg_temp
set enable_seqscan = off set enable_bitmapscan = off  -- the index is nearly empty, and the planner does not know
as $$
declare
  v_now    timestamptz := clock_timestamp();
  v_pruned integer;
begin
  delete from cortex.dedupe_keys d
   where d.ctid = any (array(
           select k.ctid
             from cortex.dedupe_keys k
            where k.expires_at <= v_now
            order by k.expires_at
            limit p_max_keys
              for update skip locked));
  get diagnostics v_pruned = row_count;
  return v_pruned;
end
$$;

-- Buries vanished workers and returns them, whether a process has died of late, and what there is for the caller to go
-- on with in transactions of its own: a pause or a resumption of a type that still moves deliveries
-- (cortex.move_held), transactions that overrun by far (cortex.end_overruns), deliveries to be cancelled
-- (cortex.serve_cancel_requests), back-fills and retirements (cortex.step_backfills, cortex.step_retirements). Prunes a step of the dedupe keys that count no more.
-- Locks: those of cortex.bury_vanished_workers; rows of dedupe_keys, SKIP LOCKED.
create function cortex.keep_house(
  p_self integer,
  out vanished            integer[],
  out is_cautious         boolean,
  out is_moving           boolean,
  out has_overruns        boolean,
  out has_cancel_requests boolean,
  out has_backfills       boolean
)
language plpgsql security definer set search_path = cortex, pg_temp as $$
begin
  vanished := array(select cortex.bury_vanished_workers(p_self));
  is_cautious := cortex.is_cautious();  -- a look of its own, which sees those
  perform cortex.prune_dedupe_keys(5000);
  is_moving := exists (select from cortex.held_types k where not k.settled);
  has_overruns := exists (select
                            from cortex.slots s
                            join cortex.handlers h using (handler_id)
                           where s.started_at < clock_timestamp() - 2 * h.time_budget);
  has_cancel_requests := exists (select from cortex.cancel_requests);
  has_backfills := exists (select from cortex.backfills b where b.ended_at is null)
                   or exists (select from cortex.handlers h where h.retiring is not null and h.retired_at is null);
end
$$;

revoke all on function cortex.keep_house, cortex.is_outage, cortex.prune_dedupe_keys from public;
grant execute on function cortex.keep_house to ${worker};
