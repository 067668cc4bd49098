-- Changing the number of lanes says what is in its way, and cannot be caught between a lane and the log.
-- Locks: nothing that anyone else holds. Time: milliseconds. Run before the code's deploy.

set local role ${owner};

-- Changes the number of lanes of a handler that is paused and of which nothing runs, and moves its open deliveries,
-- at most 10,000 of them, to where they belong then; returns how many. 0 lanes: no order any more. Restart the
-- handler's workers before resuming it: they know the number that they started with. Lanes that are not used any more
-- keep their rows, and so their versions: a lane that is used again is not taken for what a worker remembers of it.
-- Locks: every lane of the handler; SHARE on events, as cortex.order_handler; every delivery of the handler. The lanes
-- and events are waited for, for two seconds each.
create or replace function cortex.set_lanes(handler text, lanes integer, reason text) returns integer
language plpgsql security definer set search_path = cortex, pg_temp set lock_timeout = '2s' set jit = off as $$
#variable_conflict use_column
declare
  v_handler cortex.handlers;
  v_open    integer;
  v_held    smallint[];
  v_moved   integer;
begin
  perform cortex.check_action(set_lanes.reason);
  if set_lanes.lanes is null or set_lanes.lanes not between 0 and 1024 then
    perform cortex.refuse_action('lanes', 'must be 0 to 1024', set_lanes.lanes::text);
  end if;
  select * into v_handler from cortex.handlers h where h.handler_id = cortex.handler_named(set_lanes.handler) for no key update;
  if v_handler.paused_at is null then
    select count(*) into v_open from (select from cortex.deliveries d where d.handler_id = v_handler.handler_id limit 10001) few;
    perform cortex.refuse_action(
      'handler',
      format('must be paused and have nothing running, and has %s open deliveries: pause it (cortex.pause_handler), wait for the end of what runs, and try again',
             case when v_open > 10000 then '10,000+' else v_open::text end),
      set_lanes.handler);
  end if;

  -- The lanes first: who works in one may want to emit, before it leaves it.
  begin
    perform from cortex.lanes l where l.handler_id = v_handler.handler_id order by l.lane for no key update;
    lock table cortex.events in share mode;
  exception
    when lock_not_available or deadlock_detected then
      v_held := array(
        select l.lane from cortex.lanes l where l.handler_id = v_handler.handler_id
        except
        select f.lane
          from (select l.lane from cortex.lanes l where l.handler_id = v_handler.handler_id for no key update skip locked) f
         order by 1);
      if v_held <> '{}' then
        perform cortex.refuse_action(
          'handler',
          format('must have nothing running, and somebody works in %s %s: wait for the end of those batches, or stop its workers, and try again',
                 case when cardinality(v_held) = 1 then 'lane' else 'lanes' end, array_to_string(v_held, ', ')),
          set_lanes.handler);
      end if;
      perform cortex.refuse_action(
        'handler',
        'changes its lanes when nobody is emitting: a transaction that has emitted stays open; try again when it has ended',
        set_lanes.handler);
  end;
  select count(*) into v_open from (select from cortex.deliveries d where d.handler_id = v_handler.handler_id limit 10001) few;
  if v_open > 10000 then
    perform cortex.refuse_action('handler', 'must have at most 10,000 open deliveries: resume it until fewer are left', set_lanes.handler);
  end if;

  update cortex.handlers h set lanes = set_lanes.lanes where h.handler_id = v_handler.handler_id;
  with free as materialized (
    select d.ctid as tid
      from cortex.deliveries d
     where d.handler_id = v_handler.handler_id
       and d.leased_by is null
       for update skip locked),
  keyed as materialized (
    select f.tid, e.type, case when set_lanes.lanes > 0 then coalesce(e.payload #>> r.key_path, e.key, d.key) end as key
      from free f
      join cortex.deliveries d on d.ctid = f.tid
      left join cortex.events e on e.id = d.event and e.received_at = d.event_at
      left join cortex.routes r on r.type = e.type and r.handler_id = d.handler_id)
  update cortex.deliveries d
     set key = k.key,
         lane = case
                  when d.lane = -1 then -1
                  when k.key is null or d.run_at = 'infinity' and v_handler.when_dead = 'skip' then 0
                  else cortex.lane_of(k.key, set_lanes.lanes::smallint)
                end
    from keyed k
   where d.ctid = k.tid;
  get diagnostics v_moved = row_count;
  if v_moved < v_open then
    perform cortex.refuse_action(
      'handler',
      format('must have nothing running, and %s of its %s open deliveries are held or leased: wait for the end of what runs, or stop its workers, and try again',
             v_open - v_moved, v_open),
      set_lanes.handler);
  end if;

  delete from cortex.blocked_keys b where b.handler_id = v_handler.handler_id;
  update cortex.lanes l set version = l.version + 1 where l.handler_id = v_handler.handler_id;
  insert into cortex.lanes (handler_id, lane)
  select v_handler.handler_id, l from generate_series(1, set_lanes.lanes) l on conflict do nothing;
  perform cortex.record_action('set_lanes', jsonb_build_object('handler', set_lanes.handler), set_lanes.reason,
                               jsonb_build_object('lanes', v_handler.lanes),
                               jsonb_build_object('lanes', set_lanes.lanes, 'moved', v_moved));
  return v_moved;
end
$$;
