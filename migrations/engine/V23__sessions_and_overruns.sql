-- What a session must be when a handler returns, and what ends a transaction whose worker does not.
-- Locks: ACCESS EXCLUSIVE on slots and workers for columns without a volatile default, for milliseconds. Run before the code's deploy.

set local role ${owner};

-- Who a session is, where it looks names up, and how its transactions are. The engine's own statements, and the next
-- event of a batch, run under it: so a handler leaves it as it found it, and whatever it changed, with SET LOCAL too,
-- it has set back when it returns. Part of every acknowledgement: an expression that is inlined, nothing more.
create function cortex.session_identity() returns text
language sql stable
return concat_ws('|',
  session_user, current_user, current_setting('search_path'), current_setting('transaction_isolation'),
  current_setting('transaction_read_only'), current_setting('default_transaction_isolation'),
  current_setting('default_transaction_read_only'), current_setting('session_replication_role'),
  current_setting('row_security'));

-- The settings of a session that would change what others' statements do or how they are read, if they stayed. A
-- handler may change them for its transaction, with SET LOCAL; whether it did, or for the session, only the commit
-- shows. So an acknowledgement that finds them changed is followed by a look.
create function cortex.session_settings() returns text
language sql stable
return concat_ws('|',
  current_setting('statement_timeout'), current_setting('lock_timeout'),
  current_setting('idle_in_transaction_session_timeout'), current_setting('transaction_timeout', true),
  current_setting('synchronous_commit'), current_setting('client_encoding'), current_setting('datestyle'),
  current_setting('timezone'));

-- What outlives a transaction, in words: settings that were made for the session, by name; channels listened to;
-- prepared statements, holdable cursors, temporary relations and advisory locks. Costs a millisecond: asked once when a
-- connection is new, and seldom after that, to find what a handler has left behind.
create function cortex.session_leftovers() returns text[]
language sql stable
return array(
  select 'setting ' || s.name from pg_catalog.pg_settings s where s.source = 'session'
  union all
  select 'channel ' || c from pg_catalog.pg_listening_channels() c
  union all
  select 'prepared statement ' || p.name from pg_catalog.pg_prepared_statements p where p.from_sql
  union all
  select 'cursor ' || c.name from pg_catalog.pg_cursors c where c.is_holdable
  union all
  select 'temporary ' || r.relname from pg_catalog.pg_class r
   where pg_catalog.pg_my_temp_schema() <> 0 and r.relnamespace = pg_catalog.pg_my_temp_schema() and r.relkind in ('r', 'S', 'v')
  union all
  select distinct 'advisory lock' from pg_catalog.pg_locks l
   where l.locktype = 'advisory' and l.pid = pg_catalog.pg_backend_pid());

comment on function cortex.session_identity is 'Who a session is and how its transactions are: what a handler leaves as it found it.';
comment on function cortex.session_settings is 'Settings that a handler may change for its transaction only.';
comment on function cortex.session_leftovers is 'What a handler may have left in a session, in words.';

alter table cortex.slots add column pid integer;

comment on column cortex.slots.pid is 'The session whose transaction runs it.';

-- Ends the transactions of shown slots that run for more than twice their handler's time budget, and returns whose they
-- were. Their own worker has cut them after once the budget, unless it stands still or has lost its watchdog; and before
-- 17 no timeout of the server's ends a transaction of many short statements.
--
-- Ended is a session only if the transaction that it has open is the one that the slot shows, which is known by its start
-- (the slot's started_at is the now() of the claim): not a later one of the same session, whose budget may be another,
-- and nobody else's who was given the process id. And only if the caller may: it has the role of that session's login. The
-- login is asked for that, not a role that it has taken, of which the workers' logins are members, and not the reverse.
-- Between the look and the signal lie microseconds, in which a transaction may end all the same.
-- Locks: none.
--
-- Materialized: the planner would else ask for the end of every session that it reads, before it compares them.
create function cortex.end_overruns() returns setof text
language plpgsql set search_path = cortex, pg_temp as $$
declare
  v_role    constant text := current_setting('role');
  v_names   text[];
  v_pids    integer[];
  v_started timestamptz[];
begin
  select array_agg(h.name), array_agg(s.pid), array_agg(s.started_at)
    into v_names, v_pids, v_started
    from cortex.slots s
    join cortex.handlers h using (handler_id)
   where s.started_at < clock_timestamp() - 2 * h.time_budget;
  perform set_config('role', 'none', true);
  return query
    with overrun as materialized (
      select s.name, a.pid
        from unnest(v_names, v_pids, v_started) s(name, pid, started_at)
        join pg_catalog.pg_stat_activity a on a.pid = s.pid
       where a.datname = current_database()
         and a.xact_start = s.started_at
         and pg_catalog.pg_has_role(a.usesysid, 'USAGE'))
    select o.name
      from overrun o
     where pg_catalog.pg_terminate_backend(o.pid);
  perform set_config('role', v_role, true);
end
$$;

comment on function cortex.end_overruns is 'Ends the transactions of slots that run for more than twice their handler''s time budget.';

alter table cortex.workers add column polls boolean not null default false;

alter table cortex.workers add column handlers smallint[] not null default '{}';

comment on column cortex.workers.handlers is 'Which handlers it runs, by their ids: not every worker runs every handler.';
comment on column cortex.workers.polls is 'Notifications do not reach it: it looks for work ten times a second, and is told of none.';

revoke all on function
       cortex.session_identity, cortex.session_settings, cortex.session_leftovers, cortex.end_overruns
  from public;
grant execute on function
      cortex.session_identity, cortex.session_settings, cortex.session_leftovers, cortex.end_overruns
   to ${worker};
