-- The queue: handlers and what they subscribe to, deliveries, attempts, and the processes that work them.
-- Locks: nothing that anyone else holds. Time: milliseconds. Run before the code's deploy.

set local role ${owner};

create table cortex.handlers (
  handler_id    smallint    generated always as identity primary key,
  name          text        not null unique,
  mode          text        not null default 'transactional',
  lanes         smallint    not null default 0,
  max_attempts  smallint    not null default 20,
  max_running   smallint,
  time_budget   interval    not null default '30 seconds',
  paused_at     timestamptz,
  registered_at timestamptz not null default clock_timestamp(),
  constraint name_is_lower_case_words check (name ~ '^[a-z][a-z0-9]*([-_.][a-z0-9]+)*$' and length(name) <= 100),
  constraint mode_is_known check (mode in ('transactional', 'batch', 'leased')),
  constraint lanes_is_0_to_1024 check (lanes between 0 and 1024),
  constraint max_attempts_is_1_to_1000 check (max_attempts between 1 and 1000),
  constraint max_running_is_positive check (max_running > 0)
);

comment on table cortex.handlers is 'Who handles events. A row is made by the first worker that has the handler, and outlives it.';
comment on column cortex.handlers.lanes is '0: no order; n: the events of one key run in order, keys are spread over n lanes.';
comment on column cortex.handlers.max_running is 'Batches in flight in the whole cluster; null: no limit.';
comment on column cortex.handlers.paused_at is 'Since when nothing is claimed for it; null: it runs.';

create table cortex.subscriptions (
  handler_id    smallint    not null references cortex.handlers,
  pattern       text        not null,
  key_path      text[],
  subscribed_at timestamptz not null default clock_timestamp(),
  subscribed_by xid8        not null default pg_current_xact_id(),
  primary key (handler_id, pattern),
  constraint pattern_is_a_type_or_ends_in_a_star check (pattern ~ '^([a-z][a-z0-9_]*\.)*([a-z][a-z0-9_]*|\*)$')
);

comment on table cortex.subscriptions is 'Which events a handler gets: a type, a family (security.*) or all (*).';
comment on column cortex.subscriptions.key_path is 'Where in the payload the ordering key lies, e.g. {task_id}; null: the event''s own key.';
comment on column cortex.subscriptions.subscribed_by is 'The subscribing transaction: emitters that were open beside it did not see it, which a backfill must wait for.';

-- How far a pause or a resumption of a type has come in moving the deliveries; see cortex.move_held_of.
create type cortex.queue_position as (
  handler_id smallint,
  lane       smallint,
  priority   cortex.priority,
  run_at     timestamptz,
  event      bigint
);

create table cortex.held_types (
  type       text        primary key references cortex.event_types,
  held_at    timestamptz not null default clock_timestamp(),
  released   boolean     not null default false,
  settled    boolean     not null default false,
  changed_by xid8        not null default pg_current_xact_id(),
  fence      xid8,
  conclusive boolean     not null default false,
  position   cortex.queue_position
);

comment on table cortex.held_types is 'Paused types: their new deliveries go to the held lane, where no claim looks.';
comment on column cortex.held_types.released is 'Resumed: its deliveries are on their way back from the held lane, after which the row goes.';
comment on column cortex.held_types.settled is 'Every delivery of the type lies where it belongs.';
comment on column cortex.held_types.changed_by is 'The transaction that paused or resumed it.';
comment on column cortex.held_types.fence is 'Transactions below it may not have seen the change when they emitted.';
comment on column cortex.held_types.conclusive is 'The pass under way began after all of those had ended, and has passed nothing over.';
comment on column cortex.held_types.position is 'How far the pass under way has come; null: none is.';

-- Subscriptions and known types, flattened: the fan-out reads nothing else. Kept true by triggers.
create table cortex.routes (
  type       text     not null,
  handler_id smallint not null,
  lanes      smallint not null,
  held       boolean  not null,
  key_path   text[],
  primary key (type, handler_id)
);

comment on table cortex.routes is 'Derived: one row per known type (aliases too) and subscribed handler.';

-- The queue. One narrow row per event and handler, inserted by the fan-out, deleted when it is finished.
-- Never updated on the happy path, so the fill factor stays 100; and no foreign key, since a referencing child
-- would block the claim of its parent.
create table cortex.deliveries (
  run_at     timestamptz     not null,
  event      bigint          not null,
  event_at   timestamptz     not null,
  fence      bigint,
  leased_by  integer,
  priority   cortex.priority not null,
  handler_id smallint        not null,
  lane       smallint        not null default 0,
  generation smallint        not null default 0,
  attempt    smallint        not null default 0,
  key        text
) with (
  autovacuum_vacuum_scale_factor = 0,
  autovacuum_vacuum_threshold = 10000,
  autovacuum_vacuum_insert_scale_factor = 0,
  autovacuum_vacuum_insert_threshold = 1000000000,
  autovacuum_vacuum_cost_delay = 0
);

-- The index of the hot path: ready, delayed, retried and dead rows, priorities and lanes. Not unique: (event, handler,
-- generation) is what must be, and the run_at in between would keep no duplicate out.
create index deliveries_due on cortex.deliveries (handler_id, lane, priority, run_at, event);

-- Dead letters by age, for redriving and looking; of the other rows it holds nothing, so that emitting and
-- acknowledging pay for a predicate only.
create index deliveries_dead on cortex.deliveries (handler_id, event) where run_at = 'infinity';

comment on table cortex.deliveries is 'The queue: one event for one handler, until it is completed or cancelled.';
comment on column cortex.deliveries.run_at is 'Due from then on, or the end of its lease; infinity: the dead letter.';
comment on column cortex.deliveries.event_at is 'The event''s received_at, which leads the join to one partition.';
comment on column cortex.deliveries.fence is 'Rises with every lease; what acknowledges with an older one is refused.';
comment on column cortex.deliveries.leased_by is 'The worker whose lease run_at ends; null: not leased.';
comment on column cortex.deliveries.lane is '0: unordered; 1 and up: the lane of its key; -1: held, its type is paused.';
comment on column cortex.deliveries.generation is '0: the original delivery; n: the n-th replay of its event.';
comment on column cortex.deliveries.attempt is 'Attempts charged so far.';
comment on column cortex.deliveries.key is 'Only for ordered handlers.';

-- Ordered handlers. A lane's row is locked while its events are claimed and run; whatever changes which of its
-- keys may run bumps the version, at which workers forget what they remember of the lane.
create table cortex.lanes (
  handler_id smallint not null references cortex.handlers,
  lane       smallint not null,
  version    bigint   not null default 0,
  primary key (handler_id, lane)
);

create table cortex.blocked_keys (
  handler_id    smallint    not null references cortex.handlers,
  key           text        not null,
  event         bigint      not null,
  blocked_until timestamptz not null,
  primary key (handler_id, key)
);

comment on table cortex.blocked_keys is 'Keys of ordered handlers whose head failed: nothing of the key runs until the head is resolved.';

-- The audit: one row per attempt, append-only.
create table cortex.attempts (
  event       bigint         not null,
  event_at    timestamptz    not null,
  started_at  timestamptz    not null,
  finished_at timestamptz    not null default clock_timestamp(),
  worker_id   integer,
  outcome     cortex.outcome not null,
  handler_id  smallint       not null,
  generation  smallint       not null,
  attempt     smallint       not null,
  reason      text,
  error       text
) partition by range (finished_at);

create index attempts_event on cortex.attempts (event);

comment on table cortex.attempts is 'Every attempt of every delivery, and every delivery that ended without one.';
comment on column cortex.attempts.attempt is 'Counts from 1; 0: it ended without an attempt.';
comment on column cortex.attempts.reason is 'A word for machines: handler_failed, loop, event_gone, cancelled, …';
comment on column cortex.attempts.error is 'What the handler said, cut at 8,000 characters. Never the payload.';

create table cortex.workers (
  worker_id   integer     generated always as identity primary key,
  name        text        not null,
  version     text        not null,
  started_at  timestamptz not null default clock_timestamp(),
  stopped_at  timestamptz,
  vanished    boolean     not null default false
);

create index workers_alive on cortex.workers (worker_id) where stopped_at is null;

comment on table cortex.workers is 'Worker processes, one row per start. It lives while it holds the advisory lock of its id, not by a heartbeat.';
comment on column cortex.workers.vanished is 'It ended without a goodbye.';

-- Written from the side, and only for batches that run long enough to be seen, so that it never grows hot.
create table cortex.slots (
  worker_id  integer     not null,
  slot       smallint    not null,
  handler_id smallint    not null,
  events     bigint[]    not null,
  started_at timestamptz not null,
  primary key (worker_id, slot)
) with (fillfactor = 50);

comment on table cortex.slots is 'What each slot of each worker is running now, where that takes a while.';

create table cortex.schedules (
  name         text            primary key,
  cron         text            not null,
  zone         text            not null default 'UTC',
  type         text            not null references cortex.event_types,
  payload      jsonb           not null default '{}',
  dedupe_key   text,
  enabled      boolean         not null default true,
  next_fire_at timestamptz,
  constraint payload_is_an_object check (jsonb_typeof(payload) = 'object')
);

comment on table cortex.schedules is 'Events emitted by the clock. $date in the payload or the dedupe key stands for the fire''s local date.';
comment on column cortex.schedules.cron is 'Five fields: minute, hour, day of month, month, day of week.';
comment on column cortex.schedules.next_fire_at is 'Null: not worked out yet; a worker does.';

create table cortex.fires (
  schedule  text        not null references cortex.schedules on delete cascade,
  fire_at   timestamptz not null,
  fired_at  timestamptz not null default clock_timestamp(),
  event_id  text        not null,
  primary key (schedule, fire_at)
);

comment on table cortex.fires is 'Each tick of each schedule that fired; its primary key is why a tick fires once.';
comment on column cortex.fires.fire_at is 'The tick by the schedule''s own clock, not when a worker got to it.';

create table cortex.operator_actions (
  id          bigint      generated always as identity primary key,
  acted_at    timestamptz not null default clock_timestamp(),
  database_user text      not null,
  action      text        not null,
  subject     jsonb       not null,
  reason      text        not null,
  before      jsonb,
  after       jsonb,
  constraint a_reason_is_given check (length(trim(reason)) between 1 and 1000)
);

comment on table cortex.operator_actions is 'Who changed what by hand, when and why. Append-only.';
