-- Old scripts beside the handlers: which types are a script's to act on. One remediation of a target at a time. Changed
-- thresholds go on record.
-- Locks: SHARE ROW EXCLUSIVE on fleet.settings, and the replaced view, for milliseconds. Run before the code's deploy.

set local role ${owner};

-- The scripts of the old system whose work is no single handler's, the type that handlers act on where the script does
-- not, and which handlers those are. The other scripts are programs of one handler each: handlers.properties.
create view fleet.scripts as
select s.script, s.type, s.handlers
  from (values
         ('on-task-created',     'task.created',                 array['task-board']),
         ('on-task-assigned',    'task.assigned',                array['task-board']),
         ('on-task-failure',     'task.failed',                  array['failure-patterns', 'auto-fix']),
         ('on-worker-failed',    'worker.failed',                array['worker-restarts']),
         ('on-worker-heartbeat', 'worker.stale_check_requested', array['stale-workers'])) s(script, type, handlers);

comment on view fleet.scripts is
  'Scripts of the old system that are handlers of their own, and which handlers leave acting to them where they are chosen.';
comment on column fleet.scripts.type is 'The type on whose events those do not act then.';

-- An event is the script's if the program was what was chosen when it was received; so whoever handles it, whenever, the
-- script and the handlers agree.
create view fleet.left_to_scripts as
select s.script, s.type, c.chosen_at as starts_at, c.ends_at
  from fleet.scripts s
  join cortex.handlers h on h.name = s.script
  join (select i.handler_id, i.implementation, i.chosen_at,
               lead(i.chosen_at) over (partition by i.handler_id order by i.chosen_at) as ends_at
          from cortex.implementations i) c
    on c.handler_id = h.handler_id
 where c.implementation = 'program';

comment on view fleet.left_to_scripts is 'When a type was, or is, left to a script: the handlers record its events and do not act on them.';
comment on column fleet.left_to_scripts.ends_at is 'Null: it still is.';

-- One for each target: it opens with a critical vulnerability, further ones belong to it, and a scan of the target that
-- finds nothing critical closes it.
create or replace view fleet.remediations as
select (array_agg(v.event_id order by v.found_at, v.event_id collate "C"))[1] as event_id,
       v.target,
       (array_agg(v.title order by v.found_at desc, v.event_id collate "C" desc))[1] as title,
       (array_agg(v.scan_id order by v.found_at desc, v.event_id collate "C" desc))[1] as scan_id,
       min(v.found_at) as opened_at,
       v.closed_at,
       count(*) as vulnerabilities,
       max(v.found_at) as last_found_at
  from (select o.*,
               (select min(s.scanned_at)
                  from fleet.scans s
                 where s.target = o.target and s.scanned_at > o.found_at and s.critical = 0) as closed_at
          from fleet.vulnerabilities o
         where o.severity = 'critical') v
 group by v.target, v.closed_at;

comment on view fleet.remediations is
  'One at a time for each target: opened by a critical vulnerability, closed by the next scan of the target without a critical finding.';
comment on column fleet.remediations.event_id is 'The vulnerability that opened it; title and scan are those of the newest.';
comment on column fleet.remediations.vulnerabilities is 'How many were found while it was open.';

-- As in V7: its remediation is open, and it is what opened it.
create or replace function fleet.is_needed(p_row fleet.vulnerabilities) returns boolean
language sql stable set search_path = fleet, pg_temp as $$
  select p_row.severity = 'critical'
     and not exists (
           select from fleet.scans s
            where s.target = p_row.target and s.scanned_at > p_row.found_at and s.critical = 0)
     and not exists (
           select from fleet.vulnerabilities v
            where v.target = p_row.target
              and v.severity = 'critical'
              and (v.found_at, v.event_id collate "C") < (p_row.found_at, p_row.event_id collate "C")
              and not exists (
                    select from fleet.scans s
                     where s.target = v.target and s.scanned_at > v.found_at and s.critical = 0))
$$;

-- Who changed a threshold. The reason is that of the transaction: set local cortex.reason = '...'.
create function fleet.record_settings_change() returns trigger
language plpgsql security definer set search_path = cortex, pg_temp as $$
declare
  v_changed text[] := array(
    select n.key from jsonb_each(to_jsonb(new)) n where n.value is distinct from to_jsonb(old) -> n.key);
begin
  perform cortex.record_action(
    'fleet_settings',
    '{}',
    coalesce(nullif(left(trim(current_setting('cortex.reason', true)), 1000), ''), 'no reason given'),
    (select jsonb_object_agg(o.key, o.value) from jsonb_each(to_jsonb(old)) o where o.key = any (v_changed)),
    (select jsonb_object_agg(n.key, n.value) from jsonb_each(to_jsonb(new)) n where n.key = any (v_changed)));
  return null;
end
$$;

-- A new version is no change of a threshold.
create trigger record_settings_change after update on fleet.settings
  for each row when (to_jsonb(old) - 'schema_version' is distinct from to_jsonb(new) - 'schema_version')
  execute function fleet.record_settings_change();

revoke all on function fleet.record_settings_change from public;
grant select on fleet.scripts, fleet.left_to_scripts to ${worker}, ${auditor}, ${operator};

update fleet.settings set schema_version = schema_version + 1;
