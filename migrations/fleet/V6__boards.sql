-- What the fleet's handlers remember, as an operator reads it.
-- Locks: the replaced view, briefly. Time: milliseconds. Run before the code's deploy.

set local role ${owner};

-- A task is where its newest step says: created, assigned, completed or failed. Of steps of the same moment the
-- later one counts, of two ends the good one. That its worker has completed ends a task only where it did not end
-- by itself. A task that is created again after its end (fleet.fixes) is open again.
create view fleet.task_board as
select t.task_id,
       case
         when greatest(t.completed_at, t.failed_at) >= t.begun_at
           then case when t.failed_at > t.completed_at or t.completed_at is null then 'failed' else 'completed' end
         when t.worker_completed_at >= t.begun_at then 'completed'
         when t.assigned_at >= t.created_at or t.created_at is null then 'assigned'
         else 'created'
       end as state,
       t.task_type, t.priority, t.master, t.worker_id, t.error_type,
       t.created_at, t.assigned_at, t.completed_at, t.failed_at, t.worker_completed_at
  from (select s.task_id,
               coalesce(max(s.task_type) filter (where s.step = 'created'), max(s.task_type), 'unspecified') as task_type,
               max(s.priority) filter (where s.step = 'created') as priority,
               coalesce(max(s.master) filter (where s.step = 'assigned'), max(s.master)) as master,
               coalesce(max(s.worker_id) filter (where s.step = 'assigned'), max(s.worker_id)) as worker_id,
               max(s.error_type) filter (where s.step = 'failed') as error_type,
               max(s.happened_at) filter (where s.step = 'created') as created_at,
               max(s.happened_at) filter (where s.step = 'assigned') as assigned_at,
               max(s.happened_at) filter (where s.step = 'completed') as completed_at,
               max(s.happened_at) filter (where s.step = 'failed') as failed_at,
               max(s.happened_at) filter (where s.step = 'worker_completed') as worker_completed_at,
               coalesce(max(s.happened_at) filter (where s.step in ('created', 'assigned')), '-infinity') as begun_at
          from fleet.task_steps s
         group by s.task_id) t;

comment on view fleet.task_board is 'The tasks and where each of them is: created, assigned, completed or failed.';

-- A worker is busy with the task that was assigned to it last, until that task or the worker has ended.
create view fleet.worker_pool as
select coalesce(w.worker_id, b.worker_id) as worker_id,
       case
         when b.task_id is not null then 'busy'
         when w.health = 'alive' then 'free'
         else w.health
       end as state,
       b.task_id,
       b.assigned_at as busy_since,
       w.heard_at,
       coalesce(w.health, 'unheard') as health
  from fleet.workers w
  full join (select distinct on (a.worker_id) a.worker_id, t.task_id, a.assigned_at
               from fleet.tasks t
              cross join lateral (
                    select coalesce(max(s.worker_id) filter (where s.step = 'assigned'), max(s.worker_id)) as worker_id,
                           max(s.happened_at) filter (where s.step = 'assigned') as assigned_at
                      from fleet.task_steps s
                     where s.task_id = t.task_id) a
               left join fleet.worker_health h on h.worker_id = a.worker_id
              where t.state = 'assigned'
                and a.worker_id is not null
                and (h.worker_id is null or h.watched or h.reported_at < a.assigned_at)
              order by a.worker_id, a.assigned_at desc, t.task_id) b
    on b.worker_id = w.worker_id;

comment on view fleet.worker_pool is 'The workers: busy, free, stale or ended. Unheard: assigned a task, and has not reported yet.';

-- What the routing model is: for each type of task, the masters' records, and which of them is preferred. The
-- preferred one has the highest lower bound of a 95 % interval of its success rate (fleet.success_confidence), so a
-- long good record beats a short perfect one. It is brought in line by each learning cycle.
create view fleet.routing_model as
select s.task_type,
       s.master,
       m.master is not distinct from s.master as preferred,
       s.successes,
       s.failures,
       round(s.successes::numeric / nullif(s.successes + s.failures, 0), 4) as success_rate,
       round(fleet.success_confidence(s.successes, s.failures)::numeric, 4) as confidence,
       s.total_duration_ms / nullif(s.timed, 0) as mean_duration_ms,
       s.decisions,
       round(s.total_confidence / nullif(s.stated, 0), 4) as mean_stated_confidence,
       case when m.master is not distinct from s.master then m.changed_at end as preferred_since
  from fleet.routing_statistics s
  left join fleet.routing_models m on m.task_type = s.task_type;

comment on view fleet.routing_model is 'For each type of task the masters'' records and which master is preferred for it, with the evidence.';
comment on column fleet.routing_model.confidence is 'What the success rate is at least, with 97.5 % certainty.';
comment on column fleet.routing_model.mean_stated_confidence is 'What the routers said of their own decisions, on average; not part of the model.';

-- 100 less 10 for each critical finding, 5 for a high, 2 for a medium, 1 for a low one; never under 0.
create function fleet.posture_score(p_critical numeric, p_high numeric, p_medium numeric, p_low numeric) returns numeric
language sql immutable parallel safe as $$
  select greatest(100 - (10 * p_critical + 5 * p_high + 2 * p_medium + p_low), 0)
$$;

-- The newest scan of each target, and all of them together as target '*'.
create view fleet.security_posture as
with newest as (
  select distinct on (s.target) s.target, s.scan_id, s.scanned_at, s.critical, s.high, s.medium, s.low
    from fleet.scans s
   order by s.target, s.scanned_at desc, s.event_id collate "C" desc
)
select n.target, n.scan_id, n.scanned_at, n.critical, n.high, n.medium, n.low,
       fleet.posture_score(n.critical, n.high, n.medium, n.low) as score
  from newest n
union all
select '*', null, max(n.scanned_at), sum(n.critical), sum(n.high), sum(n.medium), sum(n.low),
       fleet.posture_score(sum(n.critical), sum(n.high), sum(n.medium), sum(n.low))
  from newest n
having count(*) > 0;

comment on view fleet.security_posture is 'The posture score of each target by its newest scan, and of all of them (*): 100 is best, 0 worst.';

-- Open until a later scan of the same target finds nothing critical.
create view fleet.remediations as
select v.event_id, v.target, v.title, v.scan_id, v.found_at as opened_at,
       (select min(s.scanned_at)
          from fleet.scans s
         where s.target = v.target and s.scanned_at > v.found_at and s.critical = 0) as closed_at
  from fleet.vulnerabilities v
 where v.severity = 'critical';

comment on view fleet.remediations is 'One for each critical vulnerability; closed by the next scan of its target without a critical finding.';

create view fleet.threats as
select v.found_at, v.target, v.title, v.scan_id, v.event_id
  from fleet.vulnerabilities v
 where v.severity = 'critical'
 order by v.found_at desc, v.event_id desc
 limit 10;

comment on view fleet.threats is 'The last ten critical vulnerabilities.';

-- Which rates and durations deviate. Time is cut into intervals (anomaly_interval). A value of the last full
-- interval is compared with the median of the anomaly_intervals before the last two. Its spread is the median
-- distance from the median (times 1.4826, which makes it a standard deviation where values are normal), and at least
-- what chance alone gives: the square root of a count, a tenth of a duration. A value deviates when the last two
-- intervals both lie on the same side and farther than anomaly_spreads spreads away. So one odd interval is no
-- anomaly, and no type without a full history is judged.
create view fleet.deviations as
with bounds as (
  select s.anomaly_interval as length,
         s.anomaly_intervals as n,
         s.anomaly_spreads as spreads,
         s.anomaly_events as enough,
         date_bin(s.anomaly_interval, clock_timestamp(), '2000-01-01') as ends_at
    from fleet.settings s
), binned as (
  select m.type, i.place, sum(m.events) as events, sum(m.timed) as timed, sum(m.total_duration_ms) as total_duration_ms
    from bounds b
    join fleet.metrics m
      on m.minute >= b.ends_at - b.length * (b.n + 2)
     and m.minute < b.ends_at
     and m.type not in ('system.health_alert', 'system.anomaly_check_requested')
   cross join lateral (
         select ceil(extract(epoch from b.ends_at - m.minute) / extract(epoch from b.length))::integer as place) i
   group by m.type, i.place
), counted as (
  select t.type, i.place, coalesce(c.events, 0) as events, coalesce(c.timed, 0) as timed, c.total_duration_ms
    from (select distinct c.type from binned c) t
   cross join (select generate_series(1, b.n + 2) as place from bounds b) i
    left join binned c on c.type = t.type and c.place = i.place
), measured as (
  select c.type, 'rate' as metric, c.place, c.events::numeric as value, c.events as weight from counted c
  union all
  select c.type, 'duration', c.place, round(c.total_duration_ms / c.timed), c.timed from counted c where c.timed >= 5
), medians as (
  select m.type, m.metric, count(*) as n, percentile_cont(0.5) within group (order by m.value) as median
    from measured m
   where m.place > 2
   group by m.type, m.metric
), usual as (
  select d.type, d.metric, d.n, d.median::numeric as median,
         greatest(
           1.4826 * percentile_cont(0.5) within group (order by abs(m.value - d.median::numeric)),
           case d.metric when 'rate' then sqrt(d.median) else 0.1 * d.median end,
           1)::numeric as spread
    from medians d
    join measured m on m.type = d.type and m.metric = d.metric and m.place > 2
   group by d.type, d.metric, d.n, d.median
)
select u.metric, u.type, now_.value, before.value as value_before, round(u.median, 1) as median,
       round(u.spread, 1) as spread, round((now_.value - u.median) / u.spread, 1) as spreads_away,
       exists (select from fleet.metrics m where m.minute <= b.ends_at - b.length * (b.n + 2))
       and u.n >= b.n / 2
       and greatest(now_.weight, case u.metric when 'rate' then u.median else 0 end) >= b.enough
       and sign(now_.value - u.median) = sign(before.value - u.median)
       and least(abs(now_.value - u.median), abs(before.value - u.median)) > b.spreads * u.spread as deviates,
       b.ends_at - b.length as interval_start
  from usual u
 cross join bounds b
  join measured now_ on now_.type = u.type and now_.metric = u.metric and now_.place = 1
  join measured before on before.type = u.type and before.metric = u.metric and before.place = 2;

comment on view fleet.deviations is 'Rates (events per interval) and mean durations (ms) of each type: the last two intervals, what is usual, and whether they deviate.';

-- The alerts as before, and with them the episodes of our own handlers: what was seen again without being told
-- counts as repeated, and an episode is closed when it is resolved, or when nothing was seen for alert_quiet_after.
create or replace view fleet.alert_episodes as
with marked as (
  select a.*,
         case when a.raised_at - lag(a.raised_at) over kind <= s.alert_quiet_after then 0 else 1 end as opens,
         s.alert_quiet_after as quiet_after,
         e.seen - 1 as untold,
         e.last_seen_at,
         w.workers as silent_workers,
         case when w.workers is not null then w.resolved_at else e.ended_at end as resolved_at
    from fleet.alerts a
   cross join fleet.settings s
    left join fleet.episodes e on e.alert_id = a.event_id
   cross join lateral (
         select nullif(count(*), 0) as workers,
                case when bool_and(e.ended_at is not null) then max(e.ended_at) end as resolved_at
           from fleet.stale_episodes e
          where e.alert_id = a.event_id) w
  window kind as (partition by a.alert_type, a.subject order by a.raised_at, a.event_id)
), numbered as (
  select m.*, sum(m.opens) over (partition by m.alert_type, m.subject order by m.raised_at, m.event_id) as episode
    from marked m
), episodes as (
  select n.alert_type,
         n.subject,
         min(n.raised_at) as opened_at,
         greatest(max(n.raised_at), max(n.last_seen_at)) as last_raised_at,
         (count(*) - 1 + coalesce(sum(n.untold), 0))::bigint as repeated,
         (array_agg(n.severity order by n.raised_at desc, n.event_id desc))[1] as severity,
         (array_agg(n.event_id order by n.raised_at, n.event_id))[1] as opened_by,
         case when bool_and(n.resolved_at is not null) then max(n.resolved_at) end as resolved_at,
         bool_or(n.silent_workers is not null and n.resolved_at is null) as still_silent,
         max(n.quiet_after) as quiet_after
    from numbered n
   group by n.alert_type, n.subject, n.episode
)
select e.alert_type, e.subject, e.opened_at, e.last_raised_at, e.repeated, e.severity, e.opened_by, e.resolved_at,
       case
         when e.resolved_at is not null then e.resolved_at
         when not e.still_silent and e.last_raised_at + e.quiet_after < clock_timestamp() then e.last_raised_at + e.quiet_after
       end as closed_at
  from episodes e;

comment on view fleet.alert_episodes is 'Alerts as episodes: when each opened, how often it was repeated, and when it was resolved or closed.';
comment on column fleet.alert_episodes.closed_at is 'When it was resolved, or had been quiet for alert_quiet_after; null: open.';

-- Whether the event system is active. Reads the newest 10,001 events only. Checks and their answers do not count:
-- asking would make it so.
create view fleet.observability as
select count(*) filter (where e.is_recent) > 0 as active,
       count(*) filter (where e.is_recent) as events,
       max(e.received_at) as last_event_at,
       max(extract(epoch from e.within))::bigint as within_seconds
  from (select l.received_at, s.active_within as within,
               l.received_at > clock_timestamp() - s.active_within as is_recent
          from fleet.settings s
          left join lateral (select e.received_at, e.type, e.source from cortex.events e order by e.id desc limit 10001) l
            on l.type not in ('system.observability_check', 'system.observability_reported')
           and not starts_with(l.source, 'schedule:')) e;

comment on view fleet.observability is 'Whether the event system is active: events received within active_within (10001: more than 10,000), of others than its own clock.';

grant select on
  fleet.task_board, fleet.worker_pool, fleet.routing_model, fleet.security_posture, fleet.remediations, fleet.threats,
  fleet.deviations, fleet.observability
  to ${worker}, ${auditor}, ${operator};

revoke all on function fleet.posture_score from public;
grant execute on function fleet.posture_score to ${worker}, ${auditor}, ${operator};
