-- Who may do what. Nobody but the owner makes objects; every function is closed to PUBLIC; an emitter states only
-- what an emitter may state, and reads nothing back but the number of what it has just emitted.
-- Locks: nothing that anyone else holds. Time: milliseconds. Run before the code's deploy.

set local role ${owner};

revoke all on all functions in schema cortex from public;

-- Emitter.
grant insert (type, source, payload, correlation_id, priority, key, dedupe_key, run_at, occurred_at, metadata, event_id, log_only)
   on cortex.events to ${emitter};
grant select (id, received_at) on cortex.events to ${emitter};
grant usage on sequence cortex.events_id_seq to ${emitter};
grant execute on function cortex.emit, cortex.emit_many to ${emitter};
grant execute on function cortex.public_event_id to ${emitter};

-- Worker: runs the engine. It emits with causation, and cannot change what is in the log.
grant select, insert on cortex.events to ${worker};
grant usage on sequence cortex.events_id_seq to ${worker};
grant select, update, delete on cortex.deliveries to ${worker};
grant select, insert on cortex.attempts to ${worker};
grant select on cortex.settings, cortex.event_types, cortex.handlers, cortex.dedupe_keys to ${worker};
grant select, insert, update on cortex.workers to ${worker};
grant select, insert, update, delete on cortex.slots to ${worker};
grant select, update on cortex.schedules to ${worker};
grant select, insert on cortex.fires to ${worker};
grant execute on function
      cortex.emit, cortex.emit_many, cortex.public_event_id, cortex.locate_event,
      cortex.claim, cortex.due_handlers, cortex.wake_key, cortex.worker_lock_class,
      cortex.register_handler, cortex.bury_vanished_workers, cortex.create_partitions
   to ${worker};

-- Auditor: reads everything, changes nothing. Operator: what an auditor sees, and the verbs. Partitions are read
-- through their parents only.
grant select on
      cortex.settings, cortex.event_types, cortex.events, cortex.dedupe_keys, cortex.quarantined,
      cortex.handlers, cortex.subscriptions, cortex.held_types, cortex.routes, cortex.deliveries, cortex.lanes,
      cortex.blocked_keys, cortex.attempts, cortex.workers, cortex.slots, cortex.schedules, cortex.fires,
      cortex.operator_actions
   to ${auditor}, ${operator};
grant execute on function cortex.public_event_id, cortex.locate_event to ${auditor}, ${operator};
grant execute on function cortex.emit, cortex.emit_many, cortex.import_events, cortex.quarantine to ${operator};

-- What the owner makes later starts closed too (a default of one schema alone could not take PUBLIC's away).
alter default privileges for role ${owner} revoke execute on functions from public;
