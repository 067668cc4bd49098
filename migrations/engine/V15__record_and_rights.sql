-- Changes of schedules go on record; a worker may move a schedule on but not rewrite it, and makes no partitions
-- without bound.
-- Locks: SHARE ROW EXCLUSIVE on schedules, for milliseconds. Run before the code's deploy.

set local role ${owner};

-- The reason is that of the transaction: set local cortex.reason = '...'.
create function cortex.record_schedule_change() returns trigger
language plpgsql security definer set search_path = cortex, pg_temp as $$
begin
  perform cortex.record_action(
    'schedule',
    jsonb_build_object('schedule', coalesce(new.name, old.name)),
    coalesce(nullif(left(trim(current_setting('cortex.reason', true)), 1000), ''), 'no reason given'),
    to_jsonb(old) - 'next_fire_at',
    to_jsonb(new) - 'next_fire_at');
  return null;
end
$$;

create trigger record_schedule_change after insert or delete or update of name, cron, zone, type, payload, dedupe_key, enabled
  on cortex.schedules
  for each row execute function cortex.record_schedule_change();

revoke all on function cortex.record_schedule_change from public;
revoke update on cortex.schedules from ${worker};
grant update (next_fire_at) on cortex.schedules to ${worker};

comment on table cortex.settings is 'One row. The owner changes it, at any time; it is read anew by every statement that emits.';

-- As in V4, with a bound.
create or replace function cortex.create_partitions(p_ahead interval default '60 days') returns integer
language plpgsql security definer set search_path = cortex, pg_temp set timezone = 'UTC' set lock_timeout = '5s' as $$
declare
  parent    text;
  partition text;
  month     timestamptz;
  made      integer := 0;
begin
  if p_ahead > interval '1 year' then
    perform cortex.refuse_action('p_ahead', 'must be at most 1 year', p_ahead::text);
  end if;
  perform pg_advisory_xact_lock(hashtextextended('cortex.create_partitions', 0));
  for month in
    select generate_series(date_trunc('month', clock_timestamp()), clock_timestamp() + p_ahead, '1 month')
  loop
    foreach parent in array array['events', 'attempts'] loop
      partition := parent || to_char(month, '_YYYY_MM');
      continue when to_regclass('cortex.' || partition) is not null;
      execute format('create table cortex.%I (like cortex.%I including defaults including constraints)', partition, parent);
      execute format('alter table cortex.%I attach partition cortex.%I for values from (%L) to (%L)',
                     parent, partition, month, month + interval '1 month');
      made := made + 1;
    end loop;
  end loop;
  return made;
end
$$;
