-- The fleet on top of the engine: its event types, its settings, what its handlers remember, its schedules.
-- Locks: nothing that anyone else holds for long; adding event types makes emitters' routes anew.
-- Time: milliseconds. Run before the code's deploy.

grant usage, create on schema fleet to ${owner};
grant usage on schema fleet to ${emitter}, ${worker}, ${auditor}, ${operator};

set local role ${owner};

-- A type that somebody has added already stays as it is.
insert into cortex.event_types (type, alias_of, description) values
  ('worker.started',                null, 'A worker has begun to run.'),
  ('worker.completed',              null, 'A worker has done its work and ended.'),
  ('worker.failed',                 null, 'A worker has ended without having done its work.'),
  ('worker.heartbeat',              null, 'A worker says that it is alive.'),
  ('worker.stale_check_requested',  null, 'Look for workers that have been silent for longer than the threshold.'),
  ('task.created',                  null, 'There is a task to do.'),
  ('task.assigned',                 null, 'A task has been given to a worker.'),
  ('task.completed',                null, 'A task is done.'),
  ('task.failed',                   null, 'A task could not be done.'),
  ('security.scan_completed',       null, 'A scan has ended, with its findings.'),
  ('security.vulnerability_found',  null, 'A vulnerability that somebody has to act on.'),
  ('routing.decision_made',         null, 'A task has been routed to a master, with confidence and reason.'),
  ('routing.decision',              'routing.decision_made', 'The older name.'),
  ('learning.cycle_requested',      null, 'Learn from what has happened since the last cycle; once a day at most.'),
  ('learning.pattern_detected',     null, 'Something worth learning: what was seen, how often, with what success.'),
  ('learning.model_updated',        null, 'The routing model prefers another master for a type of task.'),
  ('system.cleanup_needed',         null, 'Remove what has expired.'),
  ('system.cleanup_completed',      null, 'What a clean-up has removed.'),
  ('system.health_alert',           null, 'Something is wrong with the fleet.'),
  ('system.daemon_start_requested', null, 'Start one of the daemons.'),
  ('system.observability_check',    null, 'Is the event system active?'),
  ('daemon.started',                null, 'A daemon has started.'),
  ('daemon.stopped',                null, 'A daemon has stopped.')
on conflict (type) do nothing;

create table fleet.settings (
  only_row          boolean  primary key default true,
  stale_after       interval not null default '5 minutes',
  alert_quiet_after interval not null default '1 hour',
  failure_window    interval not null default '1 hour',
  failure_limit     integer  not null default 3,
  minimum_evidence  integer  not null default 3,
  worker_kept_for   interval not null default '7 days',
  record_kept_for   interval not null default '90 days',
  constraint there_is_one_row check (only_row),
  constraint stale_after_is_at_least_a_second check (stale_after >= '1 second'),
  constraint alert_quiet_after_is_positive check (alert_quiet_after > '0'),
  constraint failure_window_is_positive check (failure_window > '0'),
  constraint failure_limit_is_positive check (failure_limit > 0),
  constraint minimum_evidence_is_positive check (minimum_evidence > 0),
  constraint a_worker_is_kept_longer_than_it_takes_to_be_stale check (worker_kept_for > stale_after),
  constraint record_kept_for_is_at_least_a_day check (record_kept_for >= '1 day')
);

comment on table fleet.settings is 'The thresholds of the fleet''s handlers; one row. A change holds from the next event on.';
comment on column fleet.settings.stale_after is 'A worker silent for longer is stale.';
comment on column fleet.settings.alert_quiet_after is 'An alert that comes again within this time repeats the one before; later, it opens anew.';
comment on column fleet.settings.failure_window is 'Failures of one kind are counted over this time.';
comment on column fleet.settings.failure_limit is 'More failures of one kind than this are a pattern.';
comment on column fleet.settings.minimum_evidence is 'A master with fewer finished tasks of a type is not preferred for it.';
comment on column fleet.settings.worker_kept_for is 'A worker not heard of for this long is forgotten.';
comment on column fleet.settings.record_kept_for is 'How long the fleet''s own records are kept; an older event, replayed, is not recorded again. The log has its own retention.';

insert into fleet.settings default values;

-- One row per worker. Rewritten by every batch of heartbeats, so there is room on the page for the new version,
-- and no index on what changes.
create table fleet.worker_health (
  worker_id          text        primary key,
  heard_at           timestamptz not null,
  reported_at        timestamptz not null,
  report_received_at timestamptz not null,
  report_id          text        not null,
  status             text        not null,
  watched            boolean     not null,
  task_id            text
) with (fillfactor = 50);

comment on table fleet.worker_health is 'What the newest report of each worker says, and when the worker was last heard.';
comment on column fleet.worker_health.heard_at is 'When the database received the latest report, by its own clock: what silence is measured from.';
comment on column fleet.worker_health.reported_at is 'When the newest report was made, by the worker''s clock, but not after it was received.';
comment on column fleet.worker_health.report_received_at is 'When the newest report was received; with report_id it decides between two of the same moment.';
comment on column fleet.worker_health.watched is 'False once it has completed or failed: then its silence means nothing.';

create table fleet.stale_episodes (
  episode_id   bigint      generated always as identity primary key,
  worker_id    text        not null,
  silent_since timestamptz not null,
  opened_at    timestamptz not null default clock_timestamp(),
  threshold    interval    not null,
  alert_id     text,
  ended_at     timestamptz
);

create unique index a_worker_is_in_one_open_episode on fleet.stale_episodes (worker_id) where ended_at is null;
create index stale_episodes_worker on fleet.stale_episodes (worker_id, opened_at);
create index stale_episodes_alert on fleet.stale_episodes (alert_id);

comment on table fleet.stale_episodes is 'Each time a worker fell silent. One alert tells of each.';
comment on column fleet.stale_episodes.alert_id is 'The system.health_alert that told of it; it may tell of several workers.';
comment on column fleet.stale_episodes.ended_at is
  'When the worker was heard again, or forgotten. Before opened_at where its heartbeat was waiting to be handled.';

create table fleet.alerts (
  event_id    text        primary key,
  alert_type  text        not null,
  subject     text        not null,
  severity    text        not null,
  raised_at   timestamptz not null,
  received_at timestamptz not null
);

create index alerts_kind on fleet.alerts (alert_type, subject, raised_at);

comment on table fleet.alerts is 'Every system.health_alert that was handled. Which of them opened and which repeated: fleet.alert_episodes.';
comment on column fleet.alerts.subject is 'What it is about; empty where the alert does not say.';

create table fleet.task_outcomes (
  event_id    text        primary key,
  task_id     text,
  task_type   text        not null,
  master      text,
  worker_id   text,
  succeeded   boolean     not null,
  duration_ms bigint,
  error_type  text,
  finished_at timestamptz not null,
  received_at timestamptz not null,
  learned_on  date,
  constraint duration_ms_is_not_negative check (duration_ms >= 0)
);

create index task_outcomes_to_learn on fleet.task_outcomes (received_at) where learned_on is null;
create index task_outcomes_learned on fleet.task_outcomes (learned_on);

comment on table fleet.task_outcomes is 'How each task ended. Learning reads it rather than the log, since a row can say that it has been learned from.';
comment on column fleet.task_outcomes.learned_on is 'The date of the one learning cycle that counted it; null: none yet.';

create table fleet.learning_cycles (
  cycle_date   date        primary key,
  cycle_type   text        not null,
  requested_by text        not null,
  event_id     text        not null,
  started_at   timestamptz not null default clock_timestamp(),
  outcomes     integer     not null default 0,
  patterns     integer     not null default 0
);

comment on table fleet.learning_cycles is 'The learning cycles; the primary key is why there is at most one a day.';
comment on column fleet.learning_cycles.outcomes is 'How many finished tasks it looked at.';
comment on column fleet.learning_cycles.patterns is 'How many patterns it emitted.';

create table fleet.patterns (
  event_id          text        primary key,
  pattern_type      text        not null,
  task_type         text,
  master            text,
  successes         bigint      not null default 0,
  failures          bigint      not null default 0,
  timed             bigint      not null default 0,
  total_duration_ms bigint      not null default 0,
  received_at       timestamptz not null,
  constraint counts_are_not_negative
    check (successes >= 0 and failures >= 0 and timed >= 0 and total_duration_ms >= 0)
);

create index patterns_received on fleet.patterns (received_at);

comment on table fleet.patterns is 'Every learning.pattern_detected that was handled; the primary key is why each counts once.';

create table fleet.routing_statistics (
  task_type         text   not null,
  master            text   not null,
  successes         bigint not null,
  failures          bigint not null,
  timed             bigint not null,
  total_duration_ms bigint not null,
  primary key (task_type, master)
) with (fillfactor = 80);

comment on table fleet.routing_statistics is 'How often each master did, and failed to do, tasks of each type: the sums over all patterns.';
comment on column fleet.routing_statistics.timed is 'How many of them said how long they took; total_duration_ms is over those.';

-- One row per type of task. It is the lock, too, under which statistics of the type and its preferred master are
-- brought in line.
create table fleet.routing_models (
  task_type  text primary key,
  master     text,
  confidence double precision,
  changed_at timestamptz
);

comment on table fleet.routing_models is 'The routing model: the master with the best evidence for each type of task.';
comment on column fleet.routing_models.master is 'Null: no master has the minimum evidence yet.';
comment on column fleet.routing_models.confidence is 'fleet.success_confidence of the preferred master''s record when last counted.';

create table fleet.cleanups (
  event_id     text        not null,
  generation   integer     not null,
  started_at   timestamptz not null,
  finished_at  timestamptz not null,
  requested_by text        not null,
  removed      jsonb       not null,
  complete     boolean     not null,
  primary key (event_id, generation)
);

comment on table fleet.cleanups is 'Each clean-up: when, for whom, and how many rows of which table it removed.';
comment on column fleet.cleanups.generation is '0 for the event''s own delivery, n for its n-th replay: a replayed clean-up cleans again.';
comment on column fleet.cleanups.complete is 'False: it removed as much as one may, and another one follows.';

-- The lower end of the 95 % Wilson interval of a success rate, 0 to 1: high only for a record that is both good
-- and long (1 of 1 gives 0.21, 10 of 10 gives 0.72, 95 of 100 gives 0.89).
create function fleet.success_confidence(p_successes bigint, p_failures bigint) returns double precision
language sql immutable parallel safe as $$
  select case when n > 0 then
           (rate + 1.9208 / n - 1.96 * sqrt(greatest(rate * (1 - rate), 0) / n + 0.9604 / (n * n))) / (1 + 3.8416 / n)
         end
    from (select (p_successes + p_failures)::double precision as n,
                 p_successes / nullif(p_successes + p_failures, 0)::double precision as rate) r
$$;

insert into cortex.schedules (name, cron, type, payload) values
  ('daily-learning',     '0 1 * * *', 'learning.cycle_requested',     '{"date": "$date", "cycle_type": "daily"}'),
  ('weekly-cleanup',     '0 2 * * 0', 'system.cleanup_needed',        '{"reason": "weekly"}'),
  ('stale-worker-check', '* * * * *', 'worker.stale_check_requested', '{}')
on conflict (name) do nothing;

grant select on
  fleet.settings, fleet.worker_health, fleet.stale_episodes, fleet.alerts, fleet.task_outcomes, fleet.learning_cycles,
  fleet.patterns, fleet.routing_statistics, fleet.routing_models, fleet.cleanups
  to ${worker}, ${auditor}, ${operator};
grant insert, update, delete on
  fleet.worker_health, fleet.stale_episodes, fleet.alerts, fleet.task_outcomes, fleet.learning_cycles, fleet.patterns,
  fleet.routing_statistics, fleet.routing_models, fleet.cleanups
  to ${worker};
grant update (stale_after, alert_quiet_after, failure_window, failure_limit, minimum_evidence, worker_kept_for, record_kept_for)
  on fleet.settings to ${operator};

-- What the handlers ask of the engine.
grant select on cortex.queue_status to ${worker};
grant execute on function cortex.queue_counts to ${worker};
