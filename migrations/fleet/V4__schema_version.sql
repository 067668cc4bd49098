-- What the fleet's schema offers, so that a worker can refuse one that its handlers would fail on.
-- Locks: fleet.settings, against everybody. Time: milliseconds. Run before the code's deploy.

set local role ${owner};

alter table fleet.settings add column schema_version smallint not null default 1;

comment on column fleet.settings.schema_version is
  'What this schema offers. A worker with the fleet''s handlers refuses one that is older than it needs.';
