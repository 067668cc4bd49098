-- A changed schedule has its next fire worked out anew.
-- Locks: SHARE ROW EXCLUSIVE on schedules, for milliseconds. Run before the code's deploy.

set local role ${owner};

-- Else the old next fire would come at its old time, and a schedule that is enabled again would at once fire for
-- the ticks of the time when it was not.
create function cortex.forget_next_fire() returns trigger
language plpgsql as $$
begin
  new.next_fire_at := null;
  return new;
end
$$;

create trigger forget_next_fire before update of cron, zone, enabled on cortex.schedules
  for each row
  when ((old.cron, old.zone, old.enabled) is distinct from (new.cron, new.zone, new.enabled))
  execute function cortex.forget_next_fire();

-- What retention deletes by.
create index fires_fired on cortex.fires (fired_at);

grant insert, update, delete on cortex.schedules to ${operator};
