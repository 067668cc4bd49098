-- What a schedule does about ticks that passed while nobody was there to fire them, and schedules with their fires as
-- a view.
-- Locks: ACCESS EXCLUSIVE on schedules, for milliseconds: a constant default rewrites no row. Run before the code's
-- deploy: a worker of this version reads the column; an older one makes up once, as before.

set local role ${owner};

alter table cortex.schedules
  add column catch_up text not null default 'once',
  add constraint catch_up_is_once_skip_or_all check (catch_up in ('once', 'skip', 'all'));

comment on column cortex.schedules.catch_up is
  'Ticks that passed while no worker was there: once, the newest of them fires; skip, none of them that is older than a minute; all, each of them, the oldest first.';

-- Index: the primary key of fires, one probe a schedule.
create view cortex.schedule_status as
select s.name as schedule, s.cron, s.zone, s.type, s.enabled, s.catch_up,
       f.fire_at as last_tick, f.fired_at as last_fired_at, f.event_id as last_event,
       case when s.enabled then nullif(s.next_fire_at, 'infinity') end as next_tick
  from cortex.schedules s
  left join lateral (
         select f.fire_at, f.fired_at, f.event_id
           from cortex.fires f
          where f.schedule = s.name
          order by f.fire_at desc
          limit 1) f on true;

comment on view cortex.schedule_status is 'The schedules: what each fired last, and when it fires next.';
comment on column cortex.schedule_status.next_tick is
  'Null: disabled, or never, or not worked out yet; a worker does that.';

grant select on cortex.schedule_status to ${worker}, ${auditor}, ${operator};

update cortex.settings set schema_version = schema_version + 1;
