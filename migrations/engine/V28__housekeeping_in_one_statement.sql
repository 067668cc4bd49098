-- What a worker looks after from the side, in one round trip: two a second where it were six.
-- Locks: nothing that anyone else holds. Time: milliseconds. Run before the code's deploy.

set local role ${owner};

-- Buries vanished workers and returns them, whether a process has died of late, and whether a pause or a resumption
-- of a type still moves deliveries, which the caller then goes on with in a transaction of its own.
-- Locks: those of cortex.bury_vanished_workers.
create function cortex.keep_house(p_self integer, out vanished integer[], out is_cautious boolean, out is_moving boolean)
language plpgsql security definer set search_path = cortex, pg_temp as $$
begin
  vanished := array(select cortex.bury_vanished_workers(p_self));
  is_cautious := cortex.is_cautious();  -- a look of its own, which sees those
  is_moving := exists (select from cortex.held_types k where not k.settled);
end
$$;

revoke all on function cortex.keep_house from public;
grant execute on function cortex.keep_house to ${worker};
