-- A sleeper may look from its low-water marks on. From the beginning, a look walks over the dead rows of all that was
-- handled while somebody holds a snapshot open: ten million of them take seconds, in which the sleeper is deaf.
-- Locks: none but those of the catalogue. Run before the code's deploy: the code calls the new function.

set local role ${owner};

-- Which of these handlers have a delivery that could be claimed now, and when the next of the others is due. What
-- a worker asks before it goes to sleep, in one round trip for all its handlers. A due row that somebody else holds
-- counts for neither, so that an idle worker sleeps beside a busy one.
--
--   p_from_at, p_from_event: where to look from, one bound a handler and priority, critical first.
--
-- Locks: at most one delivery a handler, for the length of this statement when the caller is in auto-commit.
-- Index: deliveries_due, two bounded probes a handler and priority.
create function cortex.due_handlers(p_handlers smallint[], p_from_at timestamptz[], p_from_event bigint[])
returns table (handler_id smallint, is_due boolean, next_run_at timestamptz, checked_at timestamptz)
language plpgsql
set search_path = cortex, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off
as $$
declare
  v_priorities constant cortex.priority[] := enum_range(null::cortex.priority);
  v_place      integer;
  v_next       timestamptz;
begin
  for h in 1 .. cardinality(p_handlers) loop
    handler_id := p_handlers[h];
    is_due := false;
    next_run_at := null;
    checked_at := clock_timestamp();
    continue when exists (select from cortex.handlers x where x.handler_id = due_handlers.handler_id and x.paused_at is not null);
    for i in 1 .. cardinality(v_priorities) loop
      v_place := (h - 1) * cardinality(v_priorities) + i;
      perform from cortex.deliveries d
        where d.handler_id = due_handlers.handler_id and d.lane = 0 and d.priority = v_priorities[i]
          and (d.run_at, d.event) >= (p_from_at[v_place], p_from_event[v_place])
          and d.run_at <= checked_at
        order by d.run_at, d.event
        limit 1
          for update skip locked;
      is_due := found;
      exit when is_due;
      select d.run_at into v_next
        from cortex.deliveries d
       where d.handler_id = due_handlers.handler_id and d.lane = 0 and d.priority = v_priorities[i]
         and d.run_at > checked_at and d.run_at < 'infinity'
       order by d.run_at
       limit 1;
      next_run_at := least(next_run_at, v_next);
    end loop;
    return next;
  end loop;
end
$$;

-- As in V7: from the beginning, for workers that know no other.
create or replace function cortex.due_handlers(p_handlers smallint[])
returns table (handler_id smallint, is_due boolean, next_run_at timestamptz, checked_at timestamptz)
language sql
set search_path = cortex, pg_temp
as $$
  select d.handler_id, d.is_due, d.next_run_at, d.checked_at
    from cortex.due_handlers(
           p_handlers,
           array_fill('-infinity'::timestamptz, array[4 * cardinality(p_handlers)]),
           array_fill(0::bigint, array[4 * cardinality(p_handlers)])) d
$$;

revoke all on function cortex.due_handlers(smallint[], timestamptz[], bigint[]) from public;
grant execute on function cortex.due_handlers(smallint[], timestamptz[], bigint[]) to ${worker};

update cortex.settings set schema_version = schema_version + 1;
