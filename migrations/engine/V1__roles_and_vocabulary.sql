-- Roles, the two enumerations and the one row of settings.
-- Locks: nothing that anyone else holds. Time: milliseconds. Run before the code's deploy.

-- Five group roles; logins are made members of them by the administrator. Where the administrator makes the
-- roles too (create_roles = false), the migrating login must be a member of the owner.
do $$
declare
  role_name text;
begin
  if '${create_roles}' then
    foreach role_name in array array['${owner}', '${emitter}', '${worker}', '${auditor}', '${operator}'] loop
      if not exists (select from pg_catalog.pg_roles where rolname = role_name) then
        execute format('create role %I nologin', role_name);
      end if;
    end loop;
  end if;
  -- Whoever migrates must be able to make objects that belong to the owner. A superuser already can.
  if not pg_catalog.pg_has_role(current_user, '${owner}', 'usage') then
    execute format('grant %I to current_user', '${owner}');
  end if;
end
$$;

grant usage, create on schema cortex to ${owner};
grant usage on schema cortex to ${emitter}, ${worker}, ${auditor}, ${operator};

set local role ${owner};

-- The order of the labels is the order of claiming.
create type cortex.priority as enum ('critical', 'high', 'medium', 'low');

-- How one attempt, or a delivery without one, ended.
create type cortex.outcome as enum (
  'done',    -- effects and acknowledgement are committed
  'retry',   -- failed, an attempt is charged, runs again later
  'snooze',  -- the handler asked for later, no attempt is charged
  'dead',    -- failed for the last time: the dead letter
  'cancel',  -- an operator, or the handler, said that it need not run
  'crash',   -- the process that ran it died of it
  'expire'   -- it grew older than it may
);

create table cortex.settings (
  only_row            boolean  primary key default true,
  schema_version      smallint not null,
  minimum_worker      smallint not null,
  allow_unknown_types boolean  not null default false,
  max_payload_bytes   integer  not null default 262144,
  max_causation_depth smallint not null default 32,
  constraint there_is_one_row check (only_row),
  constraint max_payload_bytes_is_1_kib_to_16_mib check (max_payload_bytes between 1024 and 16777216),
  constraint max_causation_depth_is_1_to_1000 check (max_causation_depth between 1 and 1000)
);

comment on table cortex.settings is 'What an operator can change without a release; one row.';
comment on column cortex.settings.schema_version is 'What this schema offers. A worker refuses a schema older than it needs.';
comment on column cortex.settings.minimum_worker is 'The oldest worker that may run here. A worker below it refuses to start.';
comment on column cortex.settings.allow_unknown_types is 'Whether an event of a type that event_types does not list is recorded (in unknown_events) or refused.';
comment on column cortex.settings.max_payload_bytes is 'Size limit of a payload, and of metadata, in bytes of its JSON text in UTF-8.';
comment on column cortex.settings.max_causation_depth is 'An event further than this from one that no handler emitted goes to the dead letter with reason loop.';

insert into cortex.settings (schema_version, minimum_worker) values (1, 1);
