-- The files of failures, scans and shut-downs say what the handlers say: what both need is said once, in functions that
-- both call.
-- Locks: the replaced views, briefly. Time: milliseconds. Run before the code's deploy.

set local role ${owner};

-- As in V2, but the empty string is absent, as the handlers have it: old scripts write it for what they do not know.
create or replace function fleet.text_of(p_payload jsonb, variadic p_names text[]) returns text
language sql immutable parallel safe as $$
  select p_payload ->> n.name
    from unnest(p_names) with ordinality n(name, place)
   where jsonb_typeof(p_payload -> n.name) in ('string', 'number', 'boolean')
     and p_payload ->> n.name <> ''
   order by n.place
   limit 1
$$;

-- Which failures are of one kind: those of one error type, in whatever case.
create function fleet.failure_kind_of(p_error_type text) returns text
language sql immutable parallel safe as $$
  select coalesce(lower(left(p_error_type, 200)), 'unknown')
$$;

comment on function fleet.failure_kind_of is 'The kind of a failure, of which too many are a pattern.';

-- The first of these members that is a number, as a count: from 0 to 10^15, so that no sum of counts overflows.
create function fleet.count_of(p_payload jsonb, variadic p_names text[]) returns bigint
language sql immutable parallel safe as $$
  select trunc(least(greatest(n.number, 0), 1e15))::bigint
    from (select fleet.number_of(p_payload, variadic p_names) as number) n
   where n.number is not null
$$;

-- What a security event has found, by severity, and in all. Scripts say it in many ways. The first of these that is
-- there counts:
--   a list under findings, vulnerabilities or severity_counts, each of whose items has a severity of its own or else the
--     payload's, and which is empty where nothing was found; nulls in it are nothing
--   numbers under critical, high, medium and low, in an object under one of those names, else in the payload itself
--   finding_count findings (or as many as findings or vulnerabilities says as a number) of the payload's severity
-- A text that is no number is for people and counts nothing. What has no severity of these four is in the total only;
-- that is null where nothing says how many there are.
create function fleet.findings_of(
  p_payload jsonb, out critical bigint, out high bigint, out medium bigint, out low bigint, out total bigint
)
language sql immutable parallel safe as $$
  with places as (
    select p_payload -> n.name as found, jsonb_typeof(p_payload -> n.name) as form, n.place
      from unnest(array['findings', 'vulnerabilities', 'severity_counts']) with ordinality n(name, place)
  ), said as (
    select lower(fleet.text_of(p_payload, 'severity')) as severity,
           (select p.found from places p where p.form = 'array' order by p.place limit 1) as list,
           coalesce((select p.found from places p where p.form = 'object' order by p.place limit 1), p_payload) as counts
  ), items as (
    select lower(coalesce(fleet.text_of(i.item, 'severity'), s.severity)) as severity
      from said s
     cross join lateral jsonb_array_elements(s.list) i(item)
     where jsonb_typeof(i.item) <> 'null'
  ), counted as (
    select l.severity,
           case when s.list is null then fleet.count_of(s.counts, l.severity)
                else (select count(*) from items i where i.severity = l.severity) end as stated,
           case when s.list is null
                then fleet.count_of(s.counts, 'finding_count', 'findings_count', 'findings', 'vulnerabilities') end
             as together,
           l.severity = s.severity as is_of_all
      from said s
     cross join unnest(array['critical', 'high', 'medium', 'low']) l(severity)
  ), told as (
    select c.severity, c.stated, c.together,
           coalesce(c.stated, case when c.is_of_all then c.together end, 0) as findings
      from counted c
  )
  select max(t.findings) filter (where t.severity = 'critical'),
         max(t.findings) filter (where t.severity = 'high'),
         max(t.findings) filter (where t.severity = 'medium'),
         max(t.findings) filter (where t.severity = 'low'),
         case when (select s.list is not null from said s) then (select count(*) from items)
              when count(t.stated) > 0 then sum(t.findings)::bigint
              else max(t.together) end
    from told t
$$;

comment on function fleet.findings_of is 'What a security event has found, by severity and in all; the total is null where it does not say.';

-- As in V2, by the findings as they are counted now.
create or replace function fleet.severity_of(p_payload jsonb) returns text
language sql immutable parallel safe as $$
  select coalesce(
           lower(fleet.text_of(p_payload, 'severity', 'max_severity')),
           (select case when f.critical > 0 then 'critical'
                        when f.high > 0 then 'high'
                        when f.medium > 0 then 'medium'
                        when f.low > 0 then 'low' end
              from fleet.findings_of(p_payload) f))
$$;

-- As in V2, but what the clock emits is of no worker, unless it names one.
create or replace view fleet.worker_events as
select event_id, type, source, occurred_at, received_at, correlation_id, causation_id, priority,
       coalesce(fleet.text_of(payload, 'worker_id', 'worker'),
                case when not starts_with(source, 'schedule:') then source end) as worker_id,
       fleet.text_of(payload, 'task_id') as task_id,
       fleet.text_of(payload, 'status') as status,
       payload, line
  from cortex.event_log
 where type like 'worker.%';

-- As in V2, with the findings and the severities of the handlers security-scans and vulnerabilities. Nothing happens
-- after it was received.
create or replace view fleet.scan_results as
select r.*,
       (select row_to_json(l)::text
          from (select cortex.iso_time(r.reported_at) as "timestamp", r.scan_id, r.event_type, r.severity,
                       r.finding_count, r.details) l) as line
  from (select e.event_id, least(e.occurred_at, e.received_at) as reported_at, e.scan_id, e.type as event_type,
               case e.type
                 when 'security.scan_completed' then fleet.severity_of(e.payload)
                 else coalesce(e.severity, e.priority::text, 'medium')
               end as severity,
               coalesce(f.total, case e.type when 'security.vulnerability_found' then 1 else 0 end)::numeric
                 as finding_count,
               coalesce(e.payload -> 'details', e.payload) as details
          from fleet.security_events e
         cross join lateral fleet.findings_of(e.payload) f
         where e.type in ('security.scan_completed', 'security.vulnerability_found')) r;

-- As in V2, with the kinds and the moments of the handler failure-patterns.
create or replace view fleet.failure_patterns as
select p.*,
       p.occurrences > s.failure_limit as is_pattern,
       (select row_to_json(l)::text
          from (select cortex.iso_time(p.failed_at) as "timestamp", p.task_id, p.task_type, p.error_type, p.error,
                       p.worker_id, p.occurrences) l) as line
  from (select f.event_id, f.failed_at, f.task_id, f.task_type, f.error_type, f.error, f.worker_id,
               count(*) over (partition by f.error_type
                                  order by f.failed_at
                                  range between (select failure_window from fleet.settings) preceding
                                            and current row) as occurrences
          from (select e.event_id, least(e.occurred_at, e.received_at) as failed_at, e.task_id, e.task_type,
                       fleet.failure_kind_of(e.error_type) as error_type,
                       fleet.text_of(e.payload, 'error', 'error_message', 'message', 'reason') as error,
                       e.worker_id
                  from fleet.task_events e
                 where e.type = 'task.failed') f) p
 cross join fleet.settings s;

comment on view fleet.failure_patterns is 'One row per failed task, with how many of its kind failed within the window that ends with it.';

-- How many workers were at it when a daemon stopped, as the handler shut-downs has counted.
create or replace view fleet.system_shutdowns as
select s.*,
       (select row_to_json(l)::text
          from (select cortex.iso_time(s.stopped_at) as "timestamp", s.event_id, s.daemon, s.source, s.reason,
                       s.active_workers, s.details) l) as line
  from (select e.event_id, e.occurred_at as stopped_at, e.daemon, e.source,
               fleet.text_of(e.payload, 'reason') as reason,
               coalesce(cardinality(h.active_workers), fleet.number_of(e.payload, 'active_workers')) as active_workers,
               e.payload as details
          from fleet.daemon_events e
          left join fleet.shutdowns h on h.event_id = e.event_id
         where e.type = 'daemon.stopped') s;

comment on column fleet.system_shutdowns.active_workers is
  'Of fleet.shutdowns; of a stop that no handler has counted for, what the event says. Null: nobody counted.';

drop function fleet.finding_count_of(jsonb);

revoke all on function fleet.failure_kind_of, fleet.count_of, fleet.findings_of from public;
grant execute on function fleet.failure_kind_of, fleet.count_of, fleet.findings_of to ${worker}, ${auditor}, ${operator};

update fleet.settings set schema_version = schema_version + 1;
