-- What the rest of the fleet's handlers remember: the task board, failures and fixes, restarts, decisions, security,
-- metrics, start-ups and shut-downs, and the episodes of what they alert of.
-- Locks: fleet.settings, fleet.routing_statistics, fleet.task_outcomes and fleet.learning_cycles, against everybody, for
-- milliseconds, and the outcomes for an index to be made; adding event types makes emitters' routes anew. Run before the code's deploy.

set local role ${owner};

insert into cortex.event_types (type, alias_of, description) values
  ('worker.restart_requested',       null, 'Start a worker anew, which has failed or fallen silent.'),
  ('system.anomaly_check_requested', null, 'Compare the last intervals'' rates and durations with those before.'),
  ('system.observability_reported',  null, 'Whether the event system is active: the answer to a system.observability_check.')
on conflict (type) do nothing;

alter table fleet.settings
  alter column schema_version set default 2,
  add column act_within        interval not null default '1 day',
  add column fix_errors        text[]   not null default '{timeout,connection_error,rate_limit}',
  add column fix_limit         integer  not null default 3,
  add column fix_first_delay   interval not null default '30 seconds',
  add column fix_longest_delay interval not null default '15 minutes',
  add column restart_limit     integer  not null default 3,
  add column restart_window    interval not null default '1 hour',
  add column active_within     interval not null default '5 minutes',
  add column disk_free_mb      integer  not null default 1024,
  add column anomaly_interval  interval not null default '5 minutes',
  add column anomaly_intervals integer  not null default 24,
  add column anomaly_spreads   numeric  not null default 6,
  add column anomaly_events    integer  not null default 20,
  add column metrics_kept_for  interval not null default '14 days',
  add constraint act_within_is_positive check (act_within > '0'),
  add constraint fix_errors_are_at_most_100 check (cardinality(fix_errors) <= 100 and array_position(fix_errors, null) is null),
  add constraint fix_limit_is_0_to_100 check (fix_limit between 0 and 100),
  add constraint fix_delays_are_at_least_a_second_and_in_order
    check (fix_first_delay >= '1 second' and fix_longest_delay >= fix_first_delay and fix_longest_delay <= '7 days'),
  add constraint failure_limit_is_at_most_1000 check (failure_limit <= 1000),
  add constraint restart_limit_is_0_to_100 check (restart_limit between 0 and 100),
  add constraint restart_window_is_positive check (restart_window > '0'),
  add constraint active_within_is_at_least_a_second check (active_within >= '1 second'),
  add constraint disk_free_mb_is_not_negative check (disk_free_mb >= 0),
  add constraint anomaly_interval_is_1_minute_to_1_day check (anomaly_interval between '1 minute' and '1 day'),
  add constraint anomaly_intervals_are_6_to_288 check (anomaly_intervals between 6 and 288),
  add constraint anomaly_spreads_is_at_least_1 check (anomaly_spreads >= 1),
  add constraint anomaly_events_is_positive check (anomaly_events > 0),
  add constraint metrics_are_kept_for_longer_than_they_are_compared
    check (metrics_kept_for > anomaly_interval * (anomaly_intervals + 3));

update fleet.settings set schema_version = 2;

comment on column fleet.settings.act_within is
  'An event received longer ago is recorded and not acted on: no alert, no restart, no new try, no answer.';
comment on column fleet.settings.fix_errors is 'The error types of failed tasks that are worth trying again.';
comment on column fleet.settings.fix_limit is 'So often the tasks of one correlation are tried again; 0: never.';
comment on column fleet.settings.fix_first_delay is 'How long the first new try waits; each further one twice as long.';
comment on column fleet.settings.fix_longest_delay is 'But no longer than this.';
comment on column fleet.settings.restart_limit is 'So often a worker''s restart is requested within restart_window; 0: never.';
comment on column fleet.settings.restart_window is 'Restarts of a worker are counted over this time.';
comment on column fleet.settings.active_within is 'The event system is active when it has received an event within this time.';
comment on column fleet.settings.disk_free_mb is 'A start-up with less free disk space, in MiB, warns.';
comment on column fleet.settings.anomaly_interval is 'Rates and durations are compared by intervals of this length.';
comment on column fleet.settings.anomaly_intervals is 'The last two intervals are compared with so many before them.';
comment on column fleet.settings.anomaly_spreads is 'What is farther than so many spreads from the median deviates.';
comment on column fleet.settings.anomaly_events is 'Intervals with fewer events, now and usually, do not deviate.';
comment on column fleet.settings.metrics_kept_for is 'How long the metrics are kept.';

-- What our own handlers alert of, from when it was first seen until it has ended. The alert is emitted when the
-- episode opens; while it is open, what is seen again is counted and not told.
create table fleet.episodes (
  episode_id   bigint      generated always as identity primary key,
  alert_type   text        not null,
  subject      text        not null,
  opened_at    timestamptz not null default clock_timestamp(),
  last_seen_at timestamptz not null default clock_timestamp(),
  seen         bigint      not null,
  alert_id     text,
  ended_at     timestamptz
) with (fillfactor = 80);

create unique index a_subject_is_in_one_open_episode on fleet.episodes (alert_type, subject) where ended_at is null;
create index episodes_alert on fleet.episodes (alert_id);

comment on table fleet.episodes is 'What the fleet''s handlers have alerted of. Stale workers have episodes of their own: fleet.stale_episodes.';
comment on column fleet.episodes.alert_id is 'The one system.health_alert that tells of it.';
comment on column fleet.episodes.ended_at is 'When it was over, or alert_quiet_after after it was last seen, if that has been noticed: fleet.alert_episodes says so at once.';

-- One row per task: where its steps have brought it (fleet.task_board), so that the open ones are found without a look
-- at all that have ended. It is the lock, too, under which the steps of a task are compared, and what they expire with.
create table fleet.tasks (
  task_id     text        primary key,
  state       text        not null default 'created',
  received_at timestamptz not null,
  constraint state_is_one_of_four check (state in ('created', 'assigned', 'completed', 'failed'))
) with (fillfactor = 80);

create index tasks_open on fleet.tasks (task_id, state) where state in ('created', 'assigned');
create index tasks_received on fleet.tasks (received_at);

comment on table fleet.tasks is 'The tasks that have steps, and whether they are open: the state of fleet.task_board.';
comment on column fleet.tasks.received_at is 'When the last of its steps was received.';

-- The newest event of each step of each task; the task's state is worked out from them (fleet.task_board), so it
-- does not matter in which order they are handled.
create table fleet.task_steps (
  task_id     text        not null references fleet.tasks on delete cascade,
  step        text        not null,
  happened_at timestamptz not null,
  event_id    text        not null,
  received_at timestamptz not null,
  task_type   text,
  priority    text,
  master      text,
  worker_id   text,
  error_type  text,
  primary key (task_id, step),
  constraint step_is_one_of_five check (step in ('created', 'assigned', 'worker_completed', 'failed', 'completed'))
) with (fillfactor = 80);

create index task_steps_worker on fleet.task_steps (worker_id) where step = 'assigned';

comment on column fleet.task_steps.happened_at is 'As the emitter says, but not after it was received.';

create table fleet.failures (
  event_id    text        primary key,
  error_type  text        not null,
  task_id     text,
  task_type   text        not null,
  failed_at   timestamptz not null,
  received_at timestamptz not null
);

create index failures_kind on fleet.failures (error_type, failed_at, event_id);
create index failures_received on fleet.failures (received_at);

comment on table fleet.failures is 'Every failed task that was handled, for the patterns among them.';

-- One row per error type: a counter, and the lock under which failures of the type are compared.
create table fleet.failure_kinds (
  error_type text   primary key,
  failures   bigint not null
) with (fillfactor = 80);

create table fleet.fixes (
  correlation_id text        primary key,
  tries          integer     not null,
  last_event_id  text        not null,
  last_at        timestamptz not null
) with (fillfactor = 80);

create index fixes_last on fleet.fixes (last_at);

comment on table fleet.fixes is 'How often the tasks of each correlation were tried again.';

create table fleet.restarts (
  worker_id    text          primary key,
  requested_at timestamptz[] not null,
  last_at      timestamptz   not null
) with (fillfactor = 80);

comment on table fleet.restarts is 'When restarts of each worker were requested, within the window.';

create table fleet.decisions (
  event_id    text        primary key,
  task_id     text,
  task_type   text        not null,
  master      text        not null,
  confidence  numeric,
  received_at timestamptz not null
);

create index decisions_received on fleet.decisions (received_at);

comment on table fleet.decisions is 'Every routing.decision_made that was handled; the primary key is why each counts once.';

alter table fleet.routing_statistics
  alter column successes set default 0,
  alter column failures set default 0,
  alter column timed set default 0,
  alter column total_duration_ms set default 0,
  add column decisions        bigint  not null default 0,
  add column stated           bigint  not null default 0,
  add column total_confidence numeric not null default 0;

comment on column fleet.routing_statistics.decisions is 'How many tasks of the type were routed to the master.';
comment on column fleet.routing_statistics.stated is 'How many of the decisions stated a confidence; total_confidence is over those.';

create table fleet.scans (
  event_id    text        primary key,
  scan_id     text,
  target      text        not null,
  critical    bigint      not null,
  high        bigint      not null,
  medium      bigint      not null,
  low         bigint      not null,
  scanned_at  timestamptz not null,
  received_at timestamptz not null,
  constraint findings_are_not_negative check (critical >= 0 and high >= 0 and medium >= 0 and low >= 0)
);

create index scans_target on fleet.scans (target, scanned_at, event_id);
create index scans_received on fleet.scans (received_at);

comment on table fleet.scans is 'Every security.scan_completed that was handled, with its findings by severity.';

create table fleet.vulnerabilities (
  event_id    text        primary key,
  scan_id     text,
  target      text        not null,
  severity    text        not null,
  title       text        not null,
  found_at    timestamptz not null,
  received_at timestamptz not null
);

create index vulnerabilities_critical on fleet.vulnerabilities (found_at, event_id) where severity = 'critical';
create index vulnerabilities_target on fleet.vulnerabilities (target, found_at) where severity = 'critical';
create index vulnerabilities_received on fleet.vulnerabilities (received_at);

comment on table fleet.vulnerabilities is 'Every security.vulnerability_found that was handled.';

create table fleet.metrics (
  minute            timestamptz not null,
  type              text        not null,
  events            bigint      not null,
  timed             bigint      not null,
  total_duration_ms bigint      not null,
  max_duration_ms   bigint      not null,
  primary key (minute, type)
) with (fillfactor = 50);

comment on table fleet.metrics is 'Events per type and minute of receipt.';
comment on column fleet.metrics.timed is 'How many of them said how long something took; total and maximum are over those.';

create table fleet.startups (
  event_id    text        primary key,
  daemon      text        not null,
  started_at  timestamptz not null,
  checked_at  timestamptz not null default clock_timestamp(),
  warnings    text[]      not null,
  counts      jsonb       not null
);

comment on table fleet.startups is 'What was checked and counted when a daemon started.';

create table fleet.shutdowns (
  event_id       text        primary key,
  daemon         text        not null,
  stopped_at     timestamptz not null,
  checked_at     timestamptz not null default clock_timestamp(),
  active_workers text[]      not null,
  counts         jsonb       not null
);

comment on table fleet.shutdowns is 'What was still at work when a daemon stopped.';

-- As in V2, with the limit that the handlers have too: 10^10 ms, 115 days. No sum of such durations overflows.
create or replace function fleet.duration_ms_of(p_payload jsonb) returns bigint
language sql immutable parallel safe as $$
  select case when d.ms between 0 and 1e10 then d.ms::bigint end
    from (select coalesce(fleet.number_of(p_payload, 'duration_ms'),
                          fleet.number_of(p_payload, 'duration_seconds', 'duration', 'execution_time') * 1000) as ms) d
$$;

-- A cycle that has more to learn from than one round may take goes on in further rounds, each of which counts its own
-- outcomes only.
alter table fleet.task_outcomes add column learned_round integer;
create index task_outcomes_learned_in on fleet.task_outcomes (learned_on, learned_round);
drop index fleet.task_outcomes_learned;

alter table fleet.learning_cycles
  add column rounds   integer not null default 1,
  add column complete boolean not null default true;

comment on column fleet.task_outcomes.learned_round is 'The round of that cycle.';
comment on column fleet.learning_cycles.rounds is 'How many rounds it has had.';
comment on column fleet.learning_cycles.complete is 'False: the last round took as much as one may, and another one follows.';

insert into cortex.schedules (name, cron, type, payload) values
  ('anomaly-check', '*/5 * * * *', 'system.anomaly_check_requested', '{}')
on conflict (name) do nothing;

grant select on
  fleet.episodes, fleet.tasks, fleet.task_steps, fleet.failures, fleet.failure_kinds, fleet.fixes, fleet.restarts, fleet.decisions,
  fleet.scans, fleet.vulnerabilities, fleet.metrics, fleet.startups, fleet.shutdowns
  to ${worker}, ${auditor}, ${operator};
grant insert, update, delete on
  fleet.episodes, fleet.tasks, fleet.task_steps, fleet.failures, fleet.failure_kinds, fleet.fixes, fleet.restarts, fleet.decisions,
  fleet.scans, fleet.vulnerabilities, fleet.metrics, fleet.startups, fleet.shutdowns
  to ${worker};
grant update (act_within, fix_errors, fix_limit, fix_first_delay, fix_longest_delay, restart_limit, restart_window, active_within,
              disk_free_mb, anomaly_interval, anomaly_intervals, anomaly_spreads, anomaly_events, metrics_kept_for)
  on fleet.settings to ${operator};

-- What the checks at a start-up ask of the engine.
grant select on cortex.handler_status, cortex.schedules to ${worker};
