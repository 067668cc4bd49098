-- The daemons: which of them are handlers now, and the life of all of them in one view.
-- Locks: fleet.settings and cortex.schedules, briefly; adding an event type makes emitters' routes anew; emitters, while
-- the log is read for an index. Time: that, else milliseconds. Run before the code's deploy.

set local role ${owner};

insert into cortex.event_types (type, description) values
  ('daemon.start_refused', 'A daemon was asked for and not started, and why.')
on conflict (type) do nothing;

create view fleet.daemon_handlers as
select m.daemon, m.handler
  from (values
         ('heartbeat-monitor', 'worker-health'),
         ('heartbeat-monitor', 'stale-workers'),
         ('failure-pattern',   'failure-patterns'),
         ('auto-fix',          'auto-fix'),
         ('worker-restart',    'worker-restarts')) m(daemon, handler);

comment on view fleet.daemon_handlers is 'The daemons of the old system that are handlers now, and which handlers do their work.';

-- A daemon that is handlers runs while each of them is known and not paused, and is run by a worker that lives.
-- As of the workers' session locks a vanished one is told of within seconds.
create view fleet.event_daemons as
select d.daemon, d.handlers, d.missing, d.paused, d.idle,
       case when d.reason = '' then 'running' else 'stopped' end as state,
       d.reason
  from (select h.*,
               case when h.missing <> '{}' then 'no worker has run its handler ' || h.missing[1] || ' yet'
                    when h.paused <> '{}' then 'its handler ' || h.paused[1] || ' is paused'
                    when h.idle <> '{}' then 'no worker runs its handler ' || h.idle[1]
                    else '' end as reason
          from (select m.daemon,
                       array_agg(m.handler order by m.handler) as handlers,
                       coalesce(array_agg(m.handler order by m.handler) filter (where c.name is null), '{}') as missing,
                       coalesce(array_agg(m.handler order by m.handler) filter (where c.paused_at is not null), '{}')
                         as paused,
                       coalesce(array_agg(m.handler order by m.handler) filter (where c.name is not null and not w.lives), '{}')
                         as idle
                  from fleet.daemon_handlers m
                  left join cortex.handlers c on c.name = m.handler
                 cross join lateral (
                       select exists (
                                select from cortex.workers w
                                 where w.stopped_at is null and c.handler_id = any (w.handlers)) as lives) w
                 group by m.daemon) h) d;

comment on view fleet.event_daemons is 'The daemons that are handlers now: running, or stopped and why.';

-- What is told of daemons lies among millions of other events: a partial index of these few, which costs those that
-- are none of them a comparison.
create index events_of_daemons on cortex.events (occurred_at)
 where type in ('system.daemon_start_requested', 'daemon.started', 'daemon.stopped', 'daemon.start_refused');

-- Everything that became of daemons, by what was emitted: of processes by their host's supervisor, of handlers by
-- a handler. host is null where the daemon is handlers, which are on whatever host a worker is.
-- On the log itself, and by these types exactly, as the index events_of_daemons has them.
create view fleet.daemon_life as
select d.*,
       (select row_to_json(l)::text
          from (select cortex.iso_time(d.happened_at) as "timestamp", d.daemon, d.what, d.host, d.pid, d.restarts,
                       d.reason, d.source, d.event_id) l) as line
  from (select cortex.public_event_id(e.id, e.received_at, e.event_id) as event_id, e.occurred_at as happened_at,
               coalesce(fleet.text_of(e.payload, 'daemon', 'daemon_name', 'name'), e.source) as daemon,
               case e.type when 'system.daemon_start_requested' then 'requested'
                           when 'daemon.started' then 'started'
                           when 'daemon.stopped' then 'stopped'
                           else 'refused' end as what,
               fleet.text_of(e.payload, 'host') as host,
               fleet.number_of(e.payload, 'pid') as pid,
               fleet.number_of(e.payload, 'restarts') as restarts,
               fleet.text_of(e.payload, 'reason') as reason,
               e.source, e.correlation_id, e.causation_id
          from cortex.events e
         where e.type in ('system.daemon_start_requested', 'daemon.started', 'daemon.stopped', 'daemon.start_refused'))
       d;

comment on view fleet.daemon_life is 'The life of the daemons: requested, started, stopped, refused; when, where and why.';
comment on column fleet.daemon_life.happened_at is 'By the clock of the host that tells of it.';
comment on column fleet.daemon_life.correlation_id is 'Where a request was answered, the request''s public id.';

create view fleet.daemons as
select distinct on (l.daemon, l.host)
       l.daemon, l.host, l.what as state, l.happened_at as since, l.pid, l.restarts, l.reason, l.event_id
  from fleet.daemon_life l
 order by l.daemon, l.host, l.happened_at desc, l.event_id desc;

comment on view fleet.daemons is 'What was told last of each daemon on each host.';

grant select on fleet.daemon_handlers, fleet.event_daemons, fleet.daemon_life, fleet.daemons
   to ${worker}, ${auditor}, ${operator};

-- How long the setting of this name lasts; an error where there is none.
create function fleet.period(p_setting text) returns interval
language plpgsql stable set search_path = fleet, pg_temp as $$
declare
  v_period interval := (select to_jsonb(s) ->> p_setting from fleet.settings s);
begin
  if v_period is null then
    raise exception using errcode = 'undefined_parameter', message = format('fleet.settings has no %I', p_setting);
  end if;
  return v_period;
end
$$;

comment on function fleet.period is 'A setting that is an interval, by its name.';

-- What is still needed of a row, however old it is. Of most tables nothing is.
create function fleet.is_needed(p_row anyelement) returns boolean
language sql immutable set search_path = fleet, pg_temp as $$
  select false
$$;

-- The task is open.
create function fleet.is_needed(p_row fleet.tasks) returns boolean
language sql immutable set search_path = fleet, pg_temp as $$
  select p_row.state in ('created', 'assigned')
$$;

-- No learning cycle has counted it.
create function fleet.is_needed(p_row fleet.task_outcomes) returns boolean
language sql immutable set search_path = fleet, pg_temp as $$
  select p_row.learned_on is null
$$;

-- Its remediation is open.
create function fleet.is_needed(p_row fleet.vulnerabilities) returns boolean
language sql stable set search_path = fleet, pg_temp as $$
  select p_row.severity = 'critical'
     and not exists (
           select from fleet.scans s
            where s.target = p_row.target and s.scanned_at > p_row.found_at and s.critical = 0)
$$;

-- It is the newest of its target, or what closes a remediation that is still there.
create function fleet.is_needed(p_row fleet.scans) returns boolean
language sql stable set search_path = fleet, pg_temp as $$
  select not exists (
           select from fleet.scans s
            where s.target = p_row.target
              and (s.scanned_at, s.event_id collate "C") > (p_row.scanned_at, p_row.event_id collate "C"))
      or p_row.critical = 0
     and exists (
           select from fleet.vulnerabilities v
            where v.target = p_row.target and v.severity = 'critical' and v.found_at < p_row.scanned_at)
$$;

-- An episode that it tells of is still there.
create function fleet.is_needed(p_row fleet.alerts) returns boolean
language sql stable set search_path = fleet, pg_temp as $$
  select exists (select from fleet.episodes e where e.alert_id = p_row.event_id)
      or exists (select from fleet.stale_episodes e where e.alert_id = p_row.event_id)
$$;

-- Removes rows of a table of the fleet whose time is up and that nothing needs.
--   p_table: without its schema; p_moment: the column that says how old a row is
--   p_kept_for: settings, of which the longest counts; p_max: how many rows at most
-- Result: how many were removed. Locks: those rows, SKIP LOCKED. Index: that of the
-- moment, where the table has one. The caller's rights decide. Dynamic, since a name of a table is no parameter.
create function fleet.remove_expired(p_table text, p_moment text, p_kept_for text[], p_max integer) returns integer
language plpgsql set search_path = fleet, pg_temp as $$
declare
  v_removed integer;
begin
  execute format(
    'delete from fleet.%1$I
      where ctid = any (array(
              select x.ctid
                from fleet.%1$I x
               where x.%2$I < $1
                 and not fleet.is_needed(x)
               limit $2
                 for update of x skip locked))', p_table, p_moment)
    using clock_timestamp() - (select max(fleet.period(n)) from unnest(p_kept_for) n), p_max;
  get diagnostics v_removed = row_count;
  return v_removed;
end
$$;

comment on function fleet.remove_expired is 'Removes rows of one of the fleet''s tables that are kept no longer, and needed no more.';

revoke all on function
      fleet.period, fleet.remove_expired, fleet.is_needed(anyelement), fleet.is_needed(fleet.tasks),
      fleet.is_needed(fleet.task_outcomes), fleet.is_needed(fleet.vulnerabilities), fleet.is_needed(fleet.scans),
      fleet.is_needed(fleet.alerts)
   from public;
grant execute on function
      fleet.period, fleet.remove_expired, fleet.is_needed(anyelement), fleet.is_needed(fleet.tasks),
      fleet.is_needed(fleet.task_outcomes), fleet.is_needed(fleet.vulnerabilities), fleet.is_needed(fleet.scans),
      fleet.is_needed(fleet.alerts)
   to ${worker};

-- The days of the learning cycle are named by its schedule's own zone, UTC unless changed. The dedupe key makes a
-- tick that is fired again, by hand or after its record is gone, a repetition.
update cortex.schedules
   set dedupe_key = 'daily-learning:$date'
 where name = 'daily-learning' and dedupe_key is null;

update fleet.settings set schema_version = schema_version + 1;
