package dev.cortex.events.operate;

import java.time.Instant;
import java.util.Optional;

/**
 * A key of an ordered handler that waits for one of its events.
 *
 * @param eventId the event that it waits for
 * @param type empty where retention has dropped the event
 * @param state of that event: dead, retrying, scheduled, held since its type is paused, or
 *     available where no worker has looked at the key since
 * @param until when it is due; empty for a dead letter
 * @param waiting how many events of the key are behind it; 10,001 means more than 10,000
 * @param reason of its last attempt, if there was one
 */
public record BlockedKey(
    String handler,
    String key,
    String eventId,
    Optional<String> type,
    DeliveryState state,
    int attempts,
    Optional<Instant> until,
    long waiting,
    Optional<String> reason,
    Optional<String> error) {}
