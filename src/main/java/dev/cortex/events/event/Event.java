package dev.cortex.events.event;

import java.time.Instant;
import java.util.Optional;

/**
 * An event as the log holds it. Immutable and thread-safe.
 *
 * @param id the public id
 * @param type the canonical type, also where the emitter used an alias
 * @param source who emitted it
 * @param occurredAt when it happened, as the emitter says; microseconds
 * @param receivedAt when the database received it; microseconds
 * @param priority {@link Priority#MEDIUM} where the emitter stated none
 * @param correlationId what it belongs to
 * @param causationId public id of the event whose handling emitted it
 * @param causationDepth 0 where no handler emitted it, else one more than its cause
 * @param key what ordered handlers order by
 * @param payload what happened; empty where the emitter gave none
 * @param metadata what else is known; empty where the emitter gave none, never holds the priority
 */
public record Event(
    String id,
    String type,
    String source,
    Instant occurredAt,
    Instant receivedAt,
    Priority priority,
    Optional<String> correlationId,
    Optional<String> causationId,
    int causationDepth,
    Optional<String> key,
    Json payload,
    Json metadata) {}
