-- Leases that are lost are found at their end, however much else is queued.
-- Locks: SHARE on deliveries while an index of the leases is built, which reads the queue once: a second per million open
-- deliveries. Run before the code's deploy.
--
-- A lease that ran out lies in the queue at its end, behind everything that was due before that: a worker that takes
-- its queue from the front would come to it after all of that.

set local role ${owner};

-- Of other rows it holds nothing, so that emitting and acknowledging pay for a predicate only. A lease and each of its
-- renewals add an entry. Leases lie in lane 0; the predicate says so, lest the planner take this index, of a table without
-- statistics, for what deliveries_leased finds by event.
create index deliveries_lease_end on cortex.deliveries (handler_id, run_at) where leased_by is not null and lane = 0;

-- The leases of each of these handlers that end first, up to p_max of each, whether they have ended already or not. One
-- that has is lost, unless its holder renews or acknowledges it before somebody leases the delivery: whoever holds
-- leases learns from this when to look for what others have lost, and where it lies. None of a handler that is paused.
-- Locks: none. Index: deliveries_lease_end, one bounded scan a handler.
create function cortex.lease_ends(p_handlers smallint[], p_max integer)
returns table (handler_id smallint, priority cortex.priority, ends_at timestamptz, event bigint, checked_at timestamptz)
language plpgsql stable
set search_path = cortex, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off
set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
#variable_conflict use_column
declare
  v_now timestamptz := clock_timestamp();
begin
  return query
  select h.handler_id, l.priority, l.run_at, l.event, v_now
    from unnest(p_handlers) as p(handler_id)
    join cortex.handlers h on h.handler_id = p.handler_id and h.paused_at is null
   cross join lateral (
         select d.priority, d.run_at, d.event
           from cortex.deliveries d
          where d.handler_id = h.handler_id
            and d.leased_by is not null
            and d.lane = 0
          order by d.run_at
          limit p_max) l;
end
$$;

comment on function cortex.lease_ends is 'The leases of handlers that end first, or have ended and are lost.';

revoke all on function cortex.lease_ends from public;
grant execute on function cortex.lease_ends to ${worker};
