-- Which worker has Java code for what, and since when a handler is run by what, so that nobody chooses what nobody has,
-- and who works beside a program knows of each event which of them it belongs to. And whatever is changed of a schedule
-- goes on record, whichever column it is.
-- Locks: ACCESS EXCLUSIVE on workers, SHARE ROW EXCLUSIVE on handlers and schedules, for milliseconds: a column without a default
-- rewrites no row. Run before the code's deploy: a worker of this version writes the new column.

set local role ${owner};

alter table cortex.workers add column java_code text[];

comment on column cortex.workers.java_code is
  'The handlers that it has Java code for, by name, whatever runs them; null: all that it runs.';

create table cortex.implementations (
  handler_id     smallint    not null references cortex.handlers on delete cascade,
  chosen_at      timestamptz not null default clock_timestamp(),
  implementation text        not null,
  primary key (handler_id, chosen_at),
  constraint implementation_is_known check (implementation in ('java', 'program'))
);

comment on table cortex.implementations is
  'What was chosen to run each handler, and when; java before the first row. Append-only, a row per change.';

insert into cortex.implementations (handler_id, chosen_at, implementation)
select h.handler_id, '-infinity', 'program' from cortex.handlers h where h.implementation = 'program';

-- As in V30, and Java code only where there is some: of a worker that lives, or where none does, of one that is known.
create or replace function cortex.implement(handler text, implementation text, reason text) returns void
language plpgsql security definer set search_path = cortex, pg_temp as $$
declare
  v_handler_id smallint;
  v_before     text;
begin
  perform cortex.check_action(implement.reason);
  if implement.implementation is null or implement.implementation not in ('java', 'program') then
    perform cortex.refuse_action('implementation', 'must be java or program', implement.implementation);
  end if;
  v_handler_id := cortex.handler_named(implement.handler);
  if implement.implementation = 'java' and not exists (
       select
         from cortex.workers w
        where (w.stopped_at is null or not exists (select from cortex.workers l where l.stopped_at is null))
          and case when w.java_code is null then v_handler_id = any (w.handlers)
                   else implement.handler = any (w.java_code) end)
  then
    perform cortex.refuse_action(
      'implementation', format('must be one that a worker has: none has Java code called %s', implement.handler), 'java');
  end if;
  select h.implementation into v_before from cortex.handlers h where h.handler_id = v_handler_id for no key update;
  if v_before <> implement.implementation then
    update cortex.handlers h set implementation = implement.implementation where h.handler_id = v_handler_id;
    insert into cortex.implementations (handler_id, implementation) values (v_handler_id, implement.implementation);
  end if;
  perform cortex.record_action('implement', jsonb_build_object('handler', implement.handler), implement.reason,
                               jsonb_build_object('implementation', v_before),
                               jsonb_build_object('implementation', implement.implementation));
end
$$;

-- A program that is retired gets nothing new, so what comes from then on is not its own.
create function cortex.choose_java_for_retired() returns trigger
language plpgsql security definer set search_path = cortex, pg_temp as $$
begin
  new.implementation := 'java';
  insert into cortex.implementations (handler_id, implementation) values (new.handler_id, 'java');
  return new;
end
$$;

create trigger choose_java_for_retired before update of retiring on cortex.handlers
  for each row when (old.retiring is null and new.retiring is not null and new.implementation = 'program')
  execute function cortex.choose_java_for_retired();

revoke all on function cortex.choose_java_for_retired from public;

-- No list of columns, which the next one would be missing from: anything but the tick that workers move on.
drop trigger record_schedule_change on cortex.schedules;
create trigger record_schedule_change after insert or delete on cortex.schedules
  for each row execute function cortex.record_schedule_change();
create trigger record_changed_schedule after update on cortex.schedules
  for each row when (to_jsonb(old) - 'next_fire_at' is distinct from to_jsonb(new) - 'next_fire_at')
  execute function cortex.record_schedule_change();

grant select on cortex.implementations to ${worker}, ${auditor}, ${operator};

update cortex.settings set schema_version = schema_version + 1;
