-- Events that may have killed the process that ran them. Who dies without a goodbye leaves in its slots what it ran;
-- for a while after a death every batch is shown before it is run, so that the second death names its batch, and
-- each of that batch then runs alone, so that the third one names the event.
-- Locks: SHARE on workers, for the index, for milliseconds. Run before the code's deploy.

set local role ${owner};

create table cortex.suspects (
  handler_id   smallint    not null,
  event        bigint      not null,
  deaths       smallint    not null default 0,
  suspected_at timestamptz not null default clock_timestamp(),
  primary key (handler_id, event)
);

comment on table cortex.suspects is 'What processes were running when they died. Forgotten after an hour.';
comment on column cortex.suspects.deaths is 'How often a process died while it ran this event alone, since it was last charged for that.';

create index workers_vanished on cortex.workers (stopped_at) where vanished;

-- Whether a process has died of late, so that batches are to be shown before they are run.
-- Index: workers_vanished.
create function cortex.is_cautious() returns boolean
language sql stable security definer set search_path = cortex, pg_temp as $$
  select exists (
    select from cortex.workers w where w.vanished and w.stopped_at > clock_timestamp() - interval '10 minutes')
$$;

-- As in V7, and besides: what was in the slots of the dead is suspected.
create or replace function cortex.bury_vanished_workers(p_self integer) returns setof integer
language plpgsql security definer set search_path = cortex, pg_temp as $$
declare
  v_vanished integer[];
begin
  with vanished as (
    update cortex.workers w
       set stopped_at = clock_timestamp(), vanished = true
     where w.worker_id = any (array(
             select x.worker_id
               from cortex.workers x
              where x.stopped_at is null
                and x.worker_id <> p_self
                and pg_try_advisory_xact_lock(cortex.worker_lock_class(), x.worker_id)))
       and w.stopped_at is null
    returning w.worker_id
  )
  select array_agg(worker_id) into v_vanished from vanished;
  if v_vanished is not null then
    insert into cortex.suspects as known (handler_id, event, deaths)
    select ran.handler_id, ran.event, max(case when ran.company = 1 then 1 else 0 end)
      from (select s.handler_id, e.event, count(*) over (partition by s.worker_id) as company
              from cortex.slots s
             cross join lateral unnest(s.events) e(event)
             where s.worker_id = any (v_vanished)) ran
     group by ran.handler_id, ran.event
     order by ran.handler_id, ran.event
        on conflict (handler_id, event) do update
       set (deaths, suspected_at) = (known.deaths + excluded.deaths, excluded.suspected_at);
    delete from cortex.suspects s where s.suspected_at < clock_timestamp() - interval '1 hour';
    delete from cortex.slots s where s.worker_id = any (v_vanished);
    perform pg_notify('cortex_wake', '');
  end if;
  return query select unnest(v_vanished);
end
$$;

revoke all on function cortex.is_cautious from public;
grant execute on function cortex.is_cautious to ${worker};
grant select, update (deaths) on cortex.suspects to ${worker};
grant select on cortex.suspects to ${auditor}, ${operator};
