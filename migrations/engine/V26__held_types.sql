-- A step that ended in the middle of a handler's deliveries went on with the next handler. So what a pass had not come
-- to was run though its type was paused, and stayed in the held lane for good after the type was resumed.
-- Locks: nothing that anyone else holds. Time: milliseconds. Run before the code's deploy.

set local role ${owner};

-- As in V12 but for that, and each lane's version is raised once.
create or replace function cortex.move_held_of(p_type text, p_max_deliveries integer, out moved integer, out settled boolean, out pass_ended boolean)
language plpgsql set search_path = cortex, pg_temp
set plan_cache_mode = force_generic_plan
set enable_seqscan = off set enable_bitmapscan = off set enable_hashjoin = off set enable_mergejoin = off set jit = off
as $$
declare
  v_row      cortex.held_types;
  v_before   cortex.held_types;
  v_left     integer := p_max_deliveries;
  v_types    text[];
  v_handler  smallint;
  v_looked   integer;
  v_matching integer;
  v_moving   integer;
  v_tids     tid[];
  v_targets  smallint[];
  v_handlers smallint[];
  v_awake    smallint[] := '{}';
begin
  moved := 0;
  pass_ended := true;
  select * into v_row from cortex.held_types k where k.type = p_type and not k.settled for update skip locked;
  if not found then
    settled := not exists (select from cortex.held_types k where k.type = p_type and not k.settled);
    return;
  end if;

  v_before := v_row;
  if v_row.position is null then
    if v_row.fence is null and v_row.changed_by <> pg_current_xact_id() then
      v_row.fence := pg_snapshot_xmax(pg_current_snapshot());
    end if;
    v_row.conclusive := coalesce(pg_snapshot_xmin(pg_current_snapshot()) >= v_row.fence, false);
    v_row.position := row(-32768, -32768, 'critical', '-infinity', 0)::cortex.queue_position;
  end if;
  v_types := array(select t.type from cortex.event_types t where coalesce(t.alias_of, t.type) = p_type);

  for v_handler in
    select h.handler_id
      from cortex.handlers h
     where h.handler_id >= (v_row.position).handler_id
       and (v_row.released or exists (select from cortex.routes r where (r.type, r.handler_id) = (p_type, h.handler_id)))
     order by 1
  loop
    exit when v_left = 0;  -- before the position moves on: there may be more of the handler before
    if v_handler > (v_row.position).handler_id then
      v_row.position := row(v_handler, -32768, 'critical', '-infinity', 0)::cortex.queue_position;
    end if;
    with looked as materialized (
      select d.ctid as tid, d.lane, d.priority, d.run_at, d.event, d.event_at, d.key
        from cortex.deliveries d
       where d.handler_id = v_handler
         and (d.lane, d.priority, d.run_at, d.event)
             > ((v_row.position).lane, (v_row.position).priority, (v_row.position).run_at, (v_row.position).event)
         and (case when v_row.released then d.lane = -1 else d.lane >= 0 and d.run_at < 'infinity' end)
       order by d.lane, d.priority, d.run_at, d.event
       limit v_left),
    matching as materialized (
      select l.*, cortex.lane_for(v_handler, p_type, l.key) as target
        from looked l
        left join cortex.events e on e.id = l.event and e.received_at = l.event_at
       where e.type = any (v_types)
          or e.id is null and v_row.released),
    free as materialized (
      select m.tid, m.target
        from matching m
        join cortex.deliveries d on d.ctid = m.tid
       where (d.handler_id, d.lane, d.event) = (v_handler, m.lane, m.event)
         and d.leased_by is null
         for update of d skip locked),
    listed as (
      select array_agg(f.tid) as tids, array_agg(f.target) as targets, array_agg(v_handler) as handlers from free f)
    select (select count(*) from looked), (select count(*) from matching),
           coalesce((select row(v_handler, l.lane, l.priority, l.run_at, l.event)::cortex.queue_position
                       from looked l order by l.lane desc, l.priority desc, l.run_at desc, l.event desc limit 1),
                    v_row.position),
           f.tids, f.targets, f.handlers
      into v_looked, v_matching, v_row.position, v_tids, v_targets, v_handlers
      from listed f;
    update cortex.deliveries d
       set lane = m.target
      from unnest(v_tids, v_targets, cortex.bump_lanes(v_handlers, v_targets)) as m(tid, target, is_free)
     where d.ctid = m.tid
       and m.is_free;
    get diagnostics v_moving = row_count;
    moved := moved + v_moving;
    v_left := v_left - v_looked;
    v_row.conclusive := v_row.conclusive and v_moving = v_matching;
    if v_moving > 0 then
      v_awake := v_awake || v_handler;
    end if;
  end loop;

  if v_left > 0 then
    v_row.position := null;  -- the end of a pass
    v_row.settled := v_row.conclusive;
  end if;
  settled := v_row.settled;
  pass_ended := v_row.position is null;
  if v_row.released and v_row.settled then
    delete from cortex.held_types k where k.type = p_type;
  elsif v_row is distinct from v_before then
    update cortex.held_types k
       set (settled, fence, conclusive, position) = (v_row.settled, v_row.fence, v_row.conclusive, v_row.position)
     where k.type = p_type;
  end if;
  if v_row.released and cardinality(v_awake) > 0 then
    perform cortex.wake(v_awake);
  end if;
end
$$;
