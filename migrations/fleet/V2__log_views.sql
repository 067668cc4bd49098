-- The files of the old system as views. Each has typed columns and a column "line": one JSON object, the same as
-- the file's line. They read the log, so that imported history shows up in them as well, and read payloads
-- leniently: what is missing or has another type than expected is null there, never an error.
-- Locks: nothing that anyone else holds. Time: milliseconds. Run before the code's deploy.

set local role ${owner};

-- The first of these members that is a string, a number or a boolean, as text.
create function fleet.text_of(p_payload jsonb, variadic p_names text[]) returns text
language sql immutable parallel safe as $$
  select p_payload ->> n.name
    from unnest(p_names) with ordinality n(name, place)
   where jsonb_typeof(p_payload -> n.name) in ('string', 'number', 'boolean')
   order by n.place
   limit 1
$$;

-- The first of these members that is a number, or a string that reads as one, as shell scripts write them.
create function fleet.number_of(p_payload jsonb, variadic p_names text[]) returns numeric
language sql immutable parallel safe as $$
  select (p_payload ->> n.name)::numeric
    from unnest(p_names) with ordinality n(name, place)
   where case jsonb_typeof(p_payload -> n.name)
           when 'number' then true
           when 'string' then p_payload ->> n.name ~ '^-?[0-9]{1,15}(\.[0-9]{1,15})?$'
         end
   order by n.place
   limit 1
$$;

-- How long something took, in milliseconds; members without a unit in their name are in seconds.
create function fleet.duration_ms_of(p_payload jsonb) returns bigint
language sql immutable parallel safe as $$
  select case when d.ms between 0 and 1e15 then d.ms::bigint end
    from (select coalesce(fleet.number_of(p_payload, 'duration_ms'),
                          fleet.number_of(p_payload, 'duration_seconds', 'duration', 'execution_time') * 1000) as ms) d
$$;

-- The names of the files: worker-events.jsonl and its like. The line is the envelope.

create view fleet.worker_events as
select event_id, type, source, occurred_at, received_at, correlation_id, causation_id, priority,
       coalesce(fleet.text_of(payload, 'worker_id', 'worker'), source) as worker_id,
       fleet.text_of(payload, 'task_id') as task_id,
       fleet.text_of(payload, 'status') as status,
       payload, line
  from cortex.event_log
 where type like 'worker.%';

create view fleet.task_events as
select event_id, type, source, occurred_at, received_at, correlation_id, causation_id, priority,
       fleet.text_of(payload, 'task_id', 'id') as task_id,
       coalesce(fleet.text_of(payload, 'task_type', 'type'), 'unspecified') as task_type,
       coalesce(fleet.text_of(payload, 'master', 'assigned_master'), fleet.text_of(metadata, 'master')) as master,
       fleet.text_of(payload, 'worker_id', 'worker') as worker_id,
       fleet.text_of(payload, 'error_type') as error_type,
       fleet.duration_ms_of(payload) as duration_ms,
       payload, line
  from cortex.event_log
 where type like 'task.%';

create view fleet.security_events as
select event_id, type, source, occurred_at, received_at, correlation_id, causation_id, priority,
       fleet.text_of(payload, 'scan_id', 'id') as scan_id,
       lower(fleet.text_of(payload, 'severity')) as severity,
       payload, line
  from cortex.event_log
 where type like 'security.%';

create view fleet.routing_events as
select event_id, type, source, occurred_at, received_at, correlation_id, causation_id, priority,
       fleet.text_of(payload, 'task_id') as task_id,
       coalesce(fleet.text_of(payload, 'master', 'selected_master', 'assigned_master'),
                fleet.text_of(metadata, 'master')) as master,
       fleet.number_of(payload, 'confidence') as confidence,
       payload, line
  from cortex.event_log
 where type like 'routing.%';

create view fleet.learning_events as
select event_id, type, source, occurred_at, received_at, correlation_id, causation_id, priority,
       fleet.text_of(payload, 'pattern_type', 'pattern') as pattern_type,
       fleet.text_of(payload, 'task_type') as task_type,
       fleet.text_of(payload, 'master') as master,
       payload, line
  from cortex.event_log
 where type like 'learning.%';

create view fleet.system_events as
select event_id, type, source, occurred_at, received_at, correlation_id, causation_id, priority,
       fleet.text_of(payload, 'alert_type') as alert_type,
       lower(fleet.text_of(payload, 'severity')) as severity,
       payload, line
  from cortex.event_log
 where type like 'system.%';

create view fleet.daemon_events as
select event_id, type, source, occurred_at, received_at, correlation_id, causation_id, priority,
       coalesce(fleet.text_of(payload, 'daemon', 'daemon_name', 'name'), source) as daemon,
       payload, line
  from cortex.event_log
 where type like 'daemon.%';

-- Files with a line of their own.

create view fleet.worker_health_metrics as
select m.*,
       (select row_to_json(l)::text
          from (select cortex.iso_time(m.received_at) as "timestamp", m.worker_id,
                       cortex.iso_time(m.heartbeat_time) as heartbeat_time, m.status) l) as line
  from (select e.event_id, e.received_at, e.worker_id, e.occurred_at as heartbeat_time,
               coalesce(e.status, 'healthy') as status
          from fleet.worker_events e
         where e.type = 'worker.heartbeat') m;

comment on view fleet.worker_health_metrics is 'One row per heartbeat. The present state of each worker: fleet.workers.';

create view fleet.routing_decisions as
select d.*,
       (select row_to_json(l)::text
          from (select cortex.iso_time(d.decided_at) as "timestamp", d.task_id, d.master, d.confidence,
                       d.routing_reason) l) as line
  from (select e.event_id, e.occurred_at as decided_at, e.task_id, e.master, e.confidence,
               fleet.text_of(e.payload, 'routing_reason', 'reason') as routing_reason
          from fleet.routing_events e
         where e.type = 'routing.decision_made') d;

-- How many findings a scan has, whichever way it says so: a number, a list, or counts by severity.
create function fleet.finding_count_of(p_payload jsonb) returns numeric
language sql immutable parallel safe as $$
  select coalesce(
           fleet.number_of(p_payload, 'finding_count', 'findings_count', 'findings', 'vulnerabilities'),
           case jsonb_typeof(p_payload -> 'findings') when 'array' then jsonb_array_length(p_payload -> 'findings') end,
           case jsonb_typeof(p_payload -> 'vulnerabilities')
             when 'array' then jsonb_array_length(p_payload -> 'vulnerabilities')
           end,
           (select sum(fleet.number_of(s.counts, k.severity))
              from (select case when jsonb_typeof(p_payload -> 'findings') = 'object' then p_payload -> 'findings'
                                else p_payload end as counts) s
             cross join unnest(array['critical', 'high', 'medium', 'low']) k(severity)))
$$;

-- How grave a scan is: what it says itself, else the gravest severity that it counts findings of.
create function fleet.severity_of(p_payload jsonb) returns text
language sql immutable parallel safe as $$
  select coalesce(
           lower(fleet.text_of(p_payload, 'severity', 'max_severity')),
           (select k.severity
              from (select case when jsonb_typeof(p_payload -> 'findings') = 'object' then p_payload -> 'findings'
                                else p_payload end as counts) s
             cross join unnest(array['critical', 'high', 'medium', 'low']) with ordinality k(severity, place)
             where fleet.number_of(s.counts, k.severity) > 0
             order by k.place
             limit 1))
$$;

create view fleet.scan_results as
select r.*,
       (select row_to_json(l)::text
          from (select cortex.iso_time(r.reported_at) as "timestamp", r.scan_id, r.event_type, r.severity,
                       r.finding_count, r.details) l) as line
  from (select e.event_id, e.occurred_at as reported_at, e.scan_id, e.type as event_type,
               fleet.severity_of(e.payload) as severity,
               coalesce(fleet.finding_count_of(e.payload),
                        case e.type when 'security.vulnerability_found' then 1 else 0 end) as finding_count,
               coalesce(e.payload -> 'details', e.payload) as details
          from fleet.security_events e
         where e.type in ('security.scan_completed', 'security.vulnerability_found')) r;

create view fleet.failure_patterns as
select p.*,
       p.occurrences > s.failure_limit as is_pattern,
       (select row_to_json(l)::text
          from (select cortex.iso_time(p.failed_at) as "timestamp", p.task_id, p.task_type, p.error_type, p.error,
                       p.worker_id, p.occurrences) l) as line
  from (select e.event_id, e.occurred_at as failed_at, e.task_id, e.task_type,
               coalesce(e.error_type, 'unknown') as error_type,
               fleet.text_of(e.payload, 'error', 'error_message', 'message', 'reason') as error,
               e.worker_id,
               count(*) over (partition by coalesce(e.error_type, 'unknown')
                                  order by e.occurred_at
                                  range between (select failure_window from fleet.settings) preceding
                                            and current row) as occurrences
          from fleet.task_events e
         where e.type = 'task.failed') p
 cross join fleet.settings s;

comment on view fleet.failure_patterns is 'One row per failed task, with how many of its error type failed within the window that ends with it.';
comment on column fleet.failure_patterns.is_pattern is 'There are more of them than the limit.';

create view fleet.learning_patterns as
select p.*,
       (select row_to_json(l)::text
          from (select cortex.iso_time(p.detected_at) as "timestamp", p.pattern_type, p.task_type, p.master,
                       p.successes, p.failures, p.confidence, p.details) l) as line
  from (select e.event_id, e.occurred_at as detected_at, coalesce(e.pattern_type, 'unspecified') as pattern_type,
               e.task_type, e.master,
               fleet.number_of(e.payload, 'successes') as successes,
               fleet.number_of(e.payload, 'failures') as failures,
               fleet.number_of(e.payload, 'confidence') as confidence,
               e.payload as details
          from fleet.learning_events e
         where e.type = 'learning.pattern_detected') p;

-- Where the end of a worker does not say how long it ran, its last start before it does.
create view fleet.worker_performance as
select p.event_id, p.finished_at, p.worker_id, p.task_id, p.outcome, p.duration_ms,
       (select row_to_json(l)::text
          from (select cortex.iso_time(p.finished_at) as "timestamp", p.worker_id, p.task_id, p.outcome,
                       p.duration_ms) l) as line
  from (select e.event_id, e.type, e.occurred_at as finished_at, e.worker_id,
               coalesce(e.task_id, e.correlation_id) as task_id,
               case e.type when 'worker.completed' then 'completed' else 'failed' end as outcome,
               coalesce(
                 fleet.duration_ms_of(e.payload),
                 (extract(epoch from e.occurred_at
                    - max(e.occurred_at) filter (where e.type = 'worker.started')
                        over (partition by e.worker_id order by e.occurred_at)) * 1000)::bigint) as duration_ms
          from fleet.worker_events e
         where e.type in ('worker.started', 'worker.completed', 'worker.failed')) p
 where p.type <> 'worker.started';

create view fleet.cleanup_operations as
select c.*,
       (select row_to_json(l)::text
          from (select cortex.iso_time(c.completed_at) as "timestamp", c.event_id, c.source, c.removed_rows,
                       c.duration_ms, c.complete, c.details) l) as line
  from (select e.event_id, e.occurred_at as completed_at, e.source,
               coalesce(fleet.number_of(e.payload, 'removed_rows', 'removed', 'files_removed', 'items_cleaned'), 0)
                 as removed_rows,
               fleet.duration_ms_of(e.payload) as duration_ms,
               coalesce(fleet.text_of(e.payload, 'complete'), 'true') = 'true' as complete,
               e.payload as details
          from fleet.system_events e
         where e.type = 'system.cleanup_completed') c;

create view fleet.dashboard_events as
select d.*,
       (select row_to_json(l)::text
          from (select cortex.iso_time(d.occurred_at) as "timestamp", d.event_type, d.severity, d.message,
                       d.event_id) l) as line
  from (select e.event_id, e.occurred_at, e.type as event_type, e.source,
               coalesce(
                 fleet.severity_of(e.payload),
                 case e.type
                   when 'system.health_alert' then 'high'
                   when 'security.vulnerability_found' then 'high'
                   when 'worker.failed' then 'medium'
                   when 'task.failed' then 'medium'
                   else 'info'
                 end) as severity,
               coalesce(
                 fleet.text_of(e.payload, 'message', 'description', 'summary', 'error', 'reason'),
                 fleet.text_of(e.payload, 'alert_type', 'title', 'daemon', 'task_id', 'worker_id'),
                 e.source) as message
          from cortex.event_log e
         where e.type in ('system.health_alert', 'system.cleanup_needed', 'system.cleanup_completed',
                          'learning.model_updated', 'security.vulnerability_found', 'worker.failed', 'task.failed',
                          'daemon.started', 'daemon.stopped')) d;

comment on view fleet.dashboard_events is 'What an operator wants to see pass by.';

create view fleet.system_startups as
select s.*,
       (select row_to_json(l)::text
          from (select cortex.iso_time(s.started_at) as "timestamp", s.event_id, s.daemon, s.source, s.details) l)
         as line
  from (select e.event_id, e.occurred_at as started_at, e.daemon, e.source, e.payload as details
          from fleet.daemon_events e
         where e.type = 'daemon.started') s;

-- How many workers were at it when a daemon stopped: those that had started and not ended.
create view fleet.system_shutdowns as
select s.*,
       (select row_to_json(l)::text
          from (select cortex.iso_time(s.stopped_at) as "timestamp", s.event_id, s.daemon, s.source, s.reason,
                       s.active_workers, s.details) l) as line
  from (select e.event_id, e.occurred_at as stopped_at, e.daemon, e.source,
               fleet.text_of(e.payload, 'reason') as reason,
               coalesce(
                 fleet.number_of(e.payload, 'active_workers'),
                 (select count(*)
                    from (select distinct on (w.worker_id) w.type
                            from fleet.worker_events w
                           where w.occurred_at <= e.occurred_at
                           order by w.worker_id, w.occurred_at desc) last
                   where last.type not in ('worker.completed', 'worker.failed'))) as active_workers,
               e.payload as details
          from fleet.daemon_events e
         where e.type = 'daemon.stopped') s;

create view fleet.task_statistics as
select t.*,
       (select row_to_json(l)::text
          from (select t.task_type, t.created, t.assigned, t.completed, t.failed, t.success_rate, t.mean_duration_ms,
                       cortex.iso_time(t.last_at) as last_at) l) as line
  from (select e.task_type,
               count(*) filter (where e.type = 'task.created') as created,
               count(*) filter (where e.type = 'task.assigned') as assigned,
               count(*) filter (where e.type = 'task.completed') as completed,
               count(*) filter (where e.type = 'task.failed') as failed,
               round(avg(case e.type when 'task.completed' then 1.0 when 'task.failed' then 0.0 end), 4)
                 as success_rate,
               round(avg(e.duration_ms) filter (where e.type in ('task.completed', 'task.failed')))
                 as mean_duration_ms,
               max(e.occurred_at) as last_at
          from fleet.task_events e
         group by e.task_type) t;

create view fleet.alert_statistics as
select a.*,
       (select row_to_json(l)::text
          from (select a.alert_type, a.severity, a.raised, cortex.iso_time(a.first_at) as first_at,
                       cortex.iso_time(a.last_at) as last_at, a.raised_last_24_hours) l) as line
  from (select coalesce(e.alert_type, 'unspecified') as alert_type,
               coalesce(e.severity, 'unspecified') as severity,
               count(*) as raised,
               min(e.occurred_at) as first_at,
               max(e.occurred_at) as last_at,
               count(*) filter (where e.occurred_at > now() - interval '24 hours') as raised_last_24_hours
          from fleet.system_events e
         where e.type = 'system.health_alert'
         group by 1, 2) a;

comment on view fleet.task_statistics is 'Tasks by type. Payloads that name no type are counted as unspecified.';

-- What the fleet's handlers remember, as an operator reads it.

create view fleet.workers as
select w.worker_id,
       w.status,
       case when not w.watched then 'ended' when e.episode_id is null then 'alive' else 'stale' end as health,
       w.heard_at,
       clock_timestamp() - w.heard_at as silent_for,
       w.task_id,
       e.opened_at as stale_since,
       e.alert_id
  from fleet.worker_health w
  left join fleet.stale_episodes e on e.worker_id = w.worker_id and e.ended_at is null;

comment on view fleet.workers is 'The workers now: alive, stale or ended.';

-- Of the alerts of one kind (type and subject), one that comes within alert_quiet_after of the one before repeats
-- it; any other opens an episode. An alert about stale workers is resolved when the last of them was heard again.
create view fleet.alert_episodes as
with marked as (
  select a.*,
         case when a.raised_at - lag(a.raised_at) over kind <= s.alert_quiet_after then 0 else 1 end as opens,
         (select case when bool_and(e.ended_at is not null) then max(e.ended_at) end
            from fleet.stale_episodes e
           where e.alert_id = a.event_id) as resolved_at
    from fleet.alerts a
   cross join fleet.settings s
  window kind as (partition by a.alert_type, a.subject order by a.raised_at, a.event_id)
), numbered as (
  select m.*, sum(m.opens) over (partition by m.alert_type, m.subject order by m.raised_at, m.event_id) as episode
    from marked m
)
select n.alert_type,
       n.subject,
       min(n.raised_at) as opened_at,
       max(n.raised_at) as last_raised_at,
       count(*) - 1 as repeated,
       (array_agg(n.severity order by n.raised_at desc, n.event_id desc))[1] as severity,
       (array_agg(n.event_id order by n.raised_at, n.event_id))[1] as opened_by,
       case when bool_and(n.resolved_at is not null) then max(n.resolved_at) end as resolved_at
  from numbered n
 group by n.alert_type, n.subject, n.episode;

comment on view fleet.alert_episodes is 'Alerts as episodes: when each opened, how often it was repeated, and when it was resolved.';

grant select on
  fleet.worker_events, fleet.task_events, fleet.security_events, fleet.routing_events, fleet.learning_events,
  fleet.system_events, fleet.daemon_events, fleet.worker_health_metrics, fleet.routing_decisions, fleet.scan_results,
  fleet.failure_patterns, fleet.learning_patterns, fleet.worker_performance, fleet.cleanup_operations,
  fleet.dashboard_events, fleet.system_startups, fleet.system_shutdowns, fleet.task_statistics,
  fleet.alert_statistics, fleet.workers, fleet.alert_episodes
  to ${worker}, ${auditor}, ${operator};
grant select on fleet.task_statistics, fleet.alert_statistics to ${emitter};

-- A view's reader must be allowed what its expressions call.
revoke all on all functions in schema fleet from public;
grant execute on function
  fleet.text_of, fleet.number_of, fleet.duration_ms_of, fleet.finding_count_of, fleet.severity_of,
  fleet.success_confidence
  to ${emitter}, ${worker}, ${auditor}, ${operator};
grant execute on function cortex.public_event_id, cortex.event_line, cortex.iso_time
  to ${emitter}, ${worker}, ${auditor}, ${operator};
