-- What the engine's first step looks like, in small.
do $$
begin
  if ${create_roles} and not exists (select from pg_roles where rolname = '${owner}') then
    create role ${owner} nologin;
    execute format('grant %I to %I', '${owner}', current_user);
    create role ${worker} nologin;
  end if;
end
$$;

create table cortex.settings (
  only_row boolean primary key default true check (only_row),
  schema_version integer not null,
  minimum_worker integer not null
);
insert into cortex.settings (schema_version, minimum_worker) values (1, 1);
