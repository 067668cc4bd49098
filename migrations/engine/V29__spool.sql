-- Who drains a spool keeps in the quarantine what the database refuses; that may be a worker, or an emitter's own host.
-- Locks: nothing that anyone else holds. Time: milliseconds. Run before the code's deploy.

set local role ${owner};

grant execute on function cortex.quarantine to ${emitter}, ${worker};

comment on function cortex.quarantine is 'Keeps an input that is no event, once; for importers, and for who drains a spool.';
comment on table cortex.quarantined is 'Invalid input of imports and spools, with the reason; nothing that was read is lost.';
