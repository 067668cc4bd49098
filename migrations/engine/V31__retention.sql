-- Retention: how long events are kept, and what an archive run needs to take old ones out of the database.
-- Locks: ACCESS EXCLUSIVE on settings and event_types, for milliseconds. Run before the code's deploy.
--
-- The run itself is Java's (room archive): it writes files, and DETACH PARTITION CONCURRENTLY runs in no function. It
-- acts as the owner, who alone may detach and drop, so nothing of this is granted to anybody else.

set local role ${owner};

alter table cortex.settings
  add column kept_for          interval,
  add column records_kept_for  interval not null default '90 days',
  add column archive_directory text,
  add constraint kept_for_is_a_day_to_1000_years check (kept_for between '1 day' and '1000 years'),
  add constraint records_kept_for_is_a_day_to_1000_years check (records_kept_for between '1 day' and '1000 years'),
  add constraint archive_directory_is_an_absolute_path
    check (archive_directory ~ '^/' and archive_directory !~ '[[:cntrl:]]' and length(archive_directory) <= 1000);

comment on column cortex.settings.kept_for is
  'Months of the log and of the audit that ended longer ago are archived and dropped; null: kept for ever.';
comment on column cortex.settings.records_kept_for is
  'How long ids, dedupe keys, fires and rows of stopped workers outlive what they belong to. Longer than a spool may be old.';
comment on column cortex.settings.archive_directory is
  'Where an archive run writes, on the machine on which it runs; null: wherever the run is told, else nothing is dropped.';

alter table cortex.event_types
  add column kept_for interval,
  add constraint kept_for_is_an_hour_to_1000_years check (kept_for between '1 hour' and '1000 years');

comment on column cortex.event_types.kept_for is
  'Events of this type are archived and deleted when received longer ago; null: as settings.kept_for says for all.';

-- Who changed how long things are kept. The reason is that of the transaction: set local cortex.reason = '...'.
create function cortex.record_retention_change() returns trigger
language plpgsql security definer set search_path = cortex, pg_temp as $$
declare
  v_columns text[] := array['type', 'kept_for', 'records_kept_for', 'archive_directory'];
  v_before  jsonb  := (select jsonb_object_agg(f.key, f.value) from jsonb_each(to_jsonb(old)) f where f.key = any (v_columns));
  v_after   jsonb  := (select jsonb_object_agg(f.key, f.value) from jsonb_each(to_jsonb(new)) f where f.key = any (v_columns));
begin
  perform cortex.record_action(
    'retention',
    jsonb_build_object('type', v_after ->> 'type'),
    coalesce(nullif(left(trim(current_setting('cortex.reason', true)), 1000), ''), 'no reason given'),
    v_before,
    v_after);
  return null;
end
$$;

create trigger record_retention_change after update of kept_for, records_kept_for, archive_directory on cortex.settings
  for each row execute function cortex.record_retention_change();
create trigger record_retention_change after update of kept_for on cortex.event_types
  for each row execute function cortex.record_retention_change();

-- Not archive_directory: what the engine writes to on a machine is the owner's to say.
grant update (kept_for, records_kept_for) on cortex.settings to ${operator};
grant update (kept_for) on cortex.event_types to ${operator};

-- The months of the log and of the audit. A partition that is detached is not part of the log any more and waits to be
-- archived and dropped; one that is detaching was left so by a run that was interrupted.
create view cortex.partitions as
select c.relname::text as partition,
       p.part[1] as parent,
       make_date(p.part[2]::integer, p.part[3]::integer, 1)::timestamp at time zone 'UTC' as starts_at,
       (make_date(p.part[2]::integer, p.part[3]::integer, 1) + interval '1 month') at time zone 'UTC' as ends_at,
       case when i.inhrelid is null then 'detached' when i.inhdetachpending then 'detaching' else 'attached' end as state,
       pg_total_relation_size(c.oid) as bytes
  from pg_catalog.pg_class c
 cross join lateral regexp_match(c.relname, '^(events|attempts)_([0-9]{4})_(0[1-9]|1[0-2])$') as p(part)
  left join pg_catalog.pg_inherits i on i.inhrelid = c.oid
 where c.relnamespace = 'cortex'::regnamespace
   and c.relkind = 'r'
   and p.part is not null;

comment on view cortex.partitions is 'The months of the log (events) and of the audit (attempts), with their state and size.';
comment on column cortex.partitions.state is 'attached; or detached or detaching, by an archive run that has yet to drop it.';

grant select on cortex.partitions to ${worker}, ${auditor}, ${operator};

-- How many rows a month has. One that is detached is not read through its parent, and nobody but the owner reads the
-- table itself.
create function cortex.rows_of_partition(p_partition text) returns bigint
language plpgsql stable security definer set search_path = cortex, pg_temp set jit = off as $$
declare
  v_rows bigint;
begin
  if not exists (select from cortex.partitions p where p.partition = p_partition) then
    perform cortex.refuse_action('partition', 'must be a month of the log or of the audit', p_partition, 'no_data_found');
  end if;
  execute format('select count(*) from cortex.%I', p_partition) into v_rows;
  return v_rows;
end
$$;

-- Ends open deliveries of events that were received in [p_from, p_until), of these types only where given. Looks at no
-- more than p_max, and returns how many those were and how many of them have ended; the others are in lanes in which
-- somebody works. Each that ends leaves an attempts row of outcome expire. What a worker holds or has leased at this
-- moment is not looked at, and so stays open.
-- Locks: the deliveries, SKIP LOCKED, then the lanes of ordered ones. No index: reads the queue once.
create function cortex.expire_deliveries(
  p_from timestamptz, p_until timestamptz, p_types text[], p_max integer, out looked integer, out ended integer
)
language plpgsql set search_path = cortex, pg_temp set jit = off as $$
declare
  v_tids tid[];
begin
  v_tids := array(
    select d.ctid
      from cortex.deliveries d
     where d.event_at >= p_from
       and d.event_at < p_until
       and (d.leased_by is null or d.run_at <= clock_timestamp())
       and (p_types is null
            or exists (select from cortex.events e
                        where e.id = d.event and e.received_at = d.event_at and e.type = any (p_types)))
     limit p_max
       for update of d skip locked);
  looked := cardinality(v_tids);
  select count(*) into ended from cortex.end_deliveries(v_tids, 'expire', 'retention', 'its event is older than it is kept');
end
$$;

-- The lines of a partition's blocks [p_block, p_block + p_blocks): of events the envelope with all that an import reads,
-- of attempts one object each. By blocks, so that a page costs the same wherever it lies; nobody writes to a partition
-- that is detached. first_id and last_id of an attempt are its event's.
create function cortex.archive_lines(p_partition text, p_block bigint, p_blocks integer) returns table (id bigint, line text)
language plpgsql set search_path = cortex, pg_temp set jit = off as $$
begin
  if not exists (select from cortex.partitions p where p.partition = p_partition and p.state = 'detached') then
    perform cortex.refuse_action('partition', 'must be a detached partition', p_partition, 'no_data_found');
  end if;
  return query execute format(
    case when p_partition like 'events%' then
      'select e.id, cortex.archive_line(e.id, e.received_at, e.occurred_at, e.run_at, e.priority, e.type, e.source, e.event_id,
                e.correlation_id, e.causation_id, e.key, e.dedupe_key, e.payload, e.metadata, e.extensions)
         from cortex.%I e
        where e.ctid >= format(''(%%s,0)'', $1)::tid and e.ctid < format(''(%%s,0)'', $2)::tid
        order by e.id'
    else
      'select a.event, json_strip_nulls(json_build_object(
                ''event'', a.event, ''event_at'', a.event_at, ''handler'', h.name, ''generation'', a.generation,
                ''attempt'', a.attempt, ''outcome'', a.outcome, ''reason'', a.reason, ''error'', a.error, ''worker'', w.name,
                ''started_at'', a.started_at, ''finished_at'', a.finished_at))::text
         from cortex.%I a
         left join cortex.handlers h on h.handler_id = a.handler_id
         left join cortex.workers w on w.worker_id = a.worker_id
        where a.ctid >= format(''(%%s,0)'', $1)::tid and a.ctid < format(''(%%s,0)'', $2)::tid
        order by a.finished_at'
    end, p_partition)
    using p_block, p_block + p_blocks;
end
$$;

-- An event as an archive holds it: the envelope, and the columns that the envelope leaves out and an import reads.
create function cortex.archive_line(
  p_id bigint, p_received_at timestamptz, p_occurred_at timestamptz, p_run_at timestamptz, p_priority cortex.priority,
  p_type text, p_source text, p_event_id text, p_correlation_id text, p_causation_id text, p_key text, p_dedupe_key text,
  p_payload jsonb, p_metadata jsonb, p_extensions jsonb
) returns text
language sql stable parallel safe as $$
  select left(cortex.event_line(
                cortex.public_event_id(p_id, p_received_at, p_event_id),
                coalesce((select t.alias_of from cortex.event_types t where t.type = p_type), p_type),
                p_occurred_at, p_source, p_correlation_id, p_priority, p_metadata, p_payload, p_extensions), -1)
      || coalesce(', "causation_id": ' || to_json(p_causation_id)::text, '')
      || coalesce(', "key": ' || to_json(p_key)::text, '')
      || coalesce(', "dedupe_key": ' || to_json(p_dedupe_key)::text, '')
      || coalesce(', "run_at": "' || cortex.iso_time(p_run_at) || '"', '')
      || '}'
$$;

-- Drops a detached partition that has these rows and no others, which is what its file has.
-- Locks: ACCESS EXCLUSIVE on the partition, which nobody else uses.
create function cortex.drop_archived(p_partition text, p_rows bigint) returns void
language plpgsql set search_path = cortex, pg_temp set lock_timeout = '5s' as $$
declare
  v_rows bigint;
begin
  if not exists (select from cortex.partitions p where p.partition = p_partition and p.state = 'detached') then
    perform cortex.refuse_action('partition', 'must be a detached partition', p_partition, 'no_data_found');
  end if;
  execute format('lock table cortex.%I in access exclusive mode', p_partition);
  execute format('select count(*) from cortex.%I', p_partition) into v_rows;
  if v_rows <> p_rows then
    perform cortex.refuse_action('partition', format('must have the %s rows of its file, has %s', p_rows, v_rows), p_partition);
  end if;
  execute format('drop table cortex.%I', p_partition);
end
$$;

-- Deletes ids and dedupe keys of events that are gone from the log, and returns where it stopped: null at the end.
-- A key goes when its event lies before the oldest month of the log and was received before p_before. Steps over at
-- most p_max keys, in the order of the primary key, since no index leads to the old ones.
create function cortex.prune_keys(p_before timestamptz, p_max integer, inout p_scope text, inout p_key text, out pruned integer)
language plpgsql set search_path = cortex, pg_temp set jit = off as $$
declare
  v_before timestamptz;
  v_looked integer;
begin
  select least(p_before, min(p.starts_at)) into v_before
    from cortex.partitions p
   where p.parent = 'events' and p.state = 'attached';
  with looked as materialized (
    select k.scope, k.key, k.event_at
      from cortex.dedupe_keys k
     where (k.scope, k.key) > (coalesce(p_scope, ''), coalesce(p_key, ''))
     order by k.scope, k.key
     limit p_max),
  gone as (
    delete from cortex.dedupe_keys k
     using looked l
     where (k.scope, k.key) = (l.scope, l.key)
       and l.event_at < v_before
       and k.event_at = l.event_at
    returning 1)
  select (select count(*) from gone), count(*),
         (array_agg(l.scope order by l.scope desc, l.key desc))[1], (array_agg(l.key order by l.scope desc, l.key desc))[1]
    into pruned, v_looked, p_scope, p_key
    from looked l;
  if v_looked < p_max then
    p_scope := null;
    p_key := null;
  end if;
end
$$;

revoke all on function
      cortex.record_retention_change, cortex.log_lock_key, cortex.rows_of_partition, cortex.expire_deliveries, cortex.archive_lines,
      cortex.archive_line, cortex.drop_archived, cortex.prune_keys
   from public;
grant execute on function cortex.log_lock_key, cortex.rows_of_partition to ${auditor}, ${operator};
