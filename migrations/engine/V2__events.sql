-- The log: event types, the events themselves, the keys that make emitting idempotent, and quarantine.
-- Locks: nothing that anyone else holds. Time: milliseconds. Run before the code's deploy.

set local role ${owner};

create table cortex.event_types (
  type        text        primary key,
  alias_of    text        references cortex.event_types,
  description text,
  schema      jsonb,
  created_at  timestamptz not null default clock_timestamp(),
  constraint type_is_dotted_lower_case check (type ~ '^[a-z][a-z0-9_]*(\.[a-z0-9_]+)+$' and length(type) <= 200),
  constraint an_alias_is_not_its_own check (alias_of <> type),
  constraint schema_is_an_object check (jsonb_typeof(schema) = 'object')
);

comment on table cortex.event_types is 'The known event types. A new one is one INSERT; handlers subscribed to a pattern get it at once.';
comment on column cortex.event_types.alias_of is 'The canonical type: events emitted under the alias are shown and handled under this one.';
comment on column cortex.event_types.schema is 'JSON Schema of the payload.';

create sequence cortex.events_id_seq;

-- Append-only and never updated. Partitioned by the time of receipt, whatever time the event itself carries, so
-- that an import of old events needs no old partitions and retention can drop whole ones.
create table cortex.events (
  id              bigint      not null default nextval('cortex.events_id_seq'),
  received_at     timestamptz not null default clock_timestamp(),
  occurred_at     timestamptz not null default clock_timestamp(),
  run_at          timestamptz,
  priority        cortex.priority,
  causation_depth smallint    not null default 0,
  log_only        boolean     not null default false,
  type            text        not null,
  source          text        not null,
  event_id        text,
  correlation_id  text,
  causation_id    text,
  key             text,
  dedupe_key      text,
  payload         jsonb,
  metadata        jsonb,
  extensions      jsonb,
  primary key (id, received_at),
  constraint type_is_1_to_200_characters check (length(type) between 1 and 200),
  constraint source_is_1_to_200_characters check (length(source) between 1 and 200),
  constraint event_id_has_the_form_evt_date_time_suffix
    check (event_id ~ '^evt_[0-9]{8}_[0-9]{6}_[a-z0-9]+$' and length(event_id) <= 100),
  constraint correlation_id_is_1_to_200_characters check (length(correlation_id) between 1 and 200),
  constraint causation_id_is_1_to_200_characters check (length(causation_id) between 1 and 200),
  constraint key_is_1_to_200_characters check (length(key) between 1 and 200),
  constraint dedupe_key_is_1_to_200_characters check (length(dedupe_key) between 1 and 200),
  -- The bounds shut out the infinities too, which no java.time.Instant can hold.
  constraint occurred_at_is_in_the_years_1_to_9999
    check (occurred_at >= '0001-01-01 00:00:00+00' and occurred_at < '10000-01-01 00:00:00+00'),
  constraint run_at_is_in_the_years_1_to_9999
    check (run_at >= '0001-01-01 00:00:00+00' and run_at < '10000-01-01 00:00:00+00'),
  constraint causation_depth_is_not_negative check (causation_depth >= 0),
  constraint payload_is_an_object check (jsonb_typeof(payload) = 'object'),
  constraint metadata_is_an_object check (jsonb_typeof(metadata) = 'object'),
  constraint priority_is_a_column_not_metadata check (not metadata ? 'priority'),
  constraint extensions_is_an_object check (jsonb_typeof(extensions) = 'object')
) partition by range (received_at);

-- Only for the trace; most events carry neither and pay nothing.
create index events_correlation on cortex.events (correlation_id) where correlation_id is not null;
create index events_causation on cortex.events (causation_id) where causation_id is not null;

comment on table cortex.events is 'The outbox and the log: emitting is one INSERT here, in the emitter''s own transaction.';
comment on column cortex.events.id is 'Order of insertion, not of commit: never read the log by "id > last".';
comment on column cortex.events.received_at is 'When the database received it; the partition key.';
comment on column cortex.events.occurred_at is 'When it happened, as the emitter says.';
comment on column cortex.events.run_at is 'Handlers see it no earlier than this; null: at once.';
comment on column cortex.events.priority is 'Null: the emitter stated none, which is handled as medium.';
comment on column cortex.events.causation_depth is '0: no handler emitted it; else one more than the event whose handling emitted it.';
comment on column cortex.events.log_only is 'Recorded without being handed to any handler (an import).';
comment on column cortex.events.event_id is 'The public id where the emitter gave one; null: derived from id and received_at by cortex.public_event_id.';
comment on column cortex.events.causation_id is 'Public id of the event whose handling emitted this one.';
comment on column cortex.events.key is 'Ordered handlers run the events of one key one after the other.';
comment on column cortex.events.dedupe_key is 'Of the events of one type and one dedupe key only the first is recorded.';
comment on column cortex.events.extensions is 'Fields of an imported envelope that the envelope does not define, kept as they were.';

-- One row per event id given by an emitter (scope 'event_id') and per dedupe key (scope: the canonical type).
-- Narrow and beside the log, so that the common event, which has neither, pays nothing.
create table cortex.dedupe_keys (
  scope    text        not null,
  key      text        not null,
  event    bigint      not null,
  event_at timestamptz not null,
  primary key (scope, key)
);

comment on table cortex.dedupe_keys is 'What makes emitting idempotent: the event that took an id or a dedupe key first.';

-- What an importer read and could not record, kept as it was.
create table cortex.quarantined (
  id             bigint      generated always as identity primary key,
  quarantined_at timestamptz not null default clock_timestamp(),
  origin         text        not null,
  reason         text        not null,
  detail         text        not null,
  raw            bytea       not null,
  raw_bytes      bigint      not null,
  digest         bytea       not null unique,
  constraint digest_is_sha_256 check (octet_length(digest) = 32)
);

comment on table cortex.quarantined is 'Invalid input, with the reason; nothing that was read is lost.';
comment on column cortex.quarantined.origin is 'Where it was read: file and line.';
comment on column cortex.quarantined.reason is 'The rule that it broke, as a word: missing_field, unknown_type, …';
comment on column cortex.quarantined.raw is 'The input''s own bytes, at most the first mebibyte of them.';
comment on column cortex.quarantined.raw_bytes is 'How many bytes the input had.';
comment on column cortex.quarantined.digest is 'SHA-256 of all its bytes, which makes a second import of the same file change nothing.';
