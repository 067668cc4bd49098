package dev.cortex.events.operate;

import dev.cortex.events.event.Priority;
import java.time.Instant;
import java.util.Optional;

/**
 * A delivery that failed for the last time.
 *
 * @param type empty where retention has dropped the event
 * @param source empty likewise
 * @param diedAt when its last attempt ended
 * @param position where it stands among the dead letters of its handler, to ask for those after it
 */
public record DeadLetter(
    String handler,
    String eventId,
    Optional<String> type,
    Optional<String> source,
    Priority priority,
    int generation,
    int attempts,
    Optional<Instant> diedAt,
    Optional<String> reason,
    Optional<String> error,
    long position) {}
