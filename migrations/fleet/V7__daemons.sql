-- The daemons: which of them are handlers now, and the life of all of them in one view.
-- Locks: fleet.settings and cortex.schedules, briefly; adding an event type makes emitters' routes anew.
-- Time: milliseconds. Run before the code's deploy.

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

-- A daemon that is handlers runs while each of them is known and not paused, and a worker lives that could run it.
-- As of the workers' session locks a vanished one is told of within seconds.
create view fleet.event_daemons as
select d.daemon, d.handlers, d.missing, d.paused,
       case when d.reason = '' then 'running' else 'stopped' end as state,
       d.reason
  from (select h.*,
               case when h.missing <> '{}' then 'no worker has run its handler ' || h.missing[1] || ' yet'
                    when h.paused <> '{}' then 'its handler ' || h.paused[1] || ' is paused'
                    when not exists (select from cortex.workers w where w.stopped_at is null) then 'no worker runs'
                    else '' end as reason
          from (select m.daemon,
                       array_agg(m.handler order by m.handler) as handlers,
                       coalesce(array_agg(m.handler order by m.handler) filter (where c.name is null), '{}') as missing,
                       coalesce(array_agg(m.handler order by m.handler) filter (where c.paused_at is not null), '{}')
                         as paused
                  from fleet.daemon_handlers m
                  left join cortex.handlers c on c.name = m.handler
                 group by m.daemon) h) d;

comment on view fleet.event_daemons is 'The daemons that are handlers now: running, or stopped and why.';

-- Everything that became of daemons, by what was emitted: of processes by their host's supervisor, of handlers by
-- a handler. host is null where the daemon is handlers, which are on whatever host a worker is.
create view fleet.daemon_life as
select d.*,
       (select row_to_json(l)::text
          from (select cortex.iso_time(d.happened_at) as "timestamp", d.daemon, d.what, d.host, d.pid, d.restarts,
                       d.reason, d.source, d.event_id) l) as line
  from (select e.event_id, e.occurred_at as happened_at,
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
          from cortex.event_log e
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

-- Removes rows of a table of the fleet whose time is up.
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
               limit $2
                 for update of x skip locked))', p_table, p_moment)
    using clock_timestamp() - (select max(fleet.period(n)) from unnest(p_kept_for) n), p_max;
  get diagnostics v_removed = row_count;
  return v_removed;
end
$$;

comment on function fleet.remove_expired is 'Removes rows of one of the fleet''s tables that are kept no longer.';

revoke all on function fleet.period, fleet.remove_expired from public;
grant execute on function fleet.period, fleet.remove_expired to ${worker};

-- The days of the learning cycle are named by its schedule's own zone, UTC unless changed. The dedupe key makes a
-- tick that is fired again, by hand or after its record is gone, a repetition.
update cortex.schedules
   set dedupe_key = 'daily-learning:$date'
 where name = 'daily-learning' and dedupe_key is null;

update fleet.settings set schema_version = schema_version + 1;
