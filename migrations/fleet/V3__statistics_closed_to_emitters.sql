-- The statistics tell task types, alert types and severities, which lie in payloads: not for emitters.
-- Locks: the two views, briefly. Time: milliseconds. Run before the code's deploy.

set local role ${owner};

revoke select on fleet.task_statistics, fleet.alert_statistics from ${emitter};
