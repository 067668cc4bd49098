package dev.cortex.events.operate;

import java.time.Instant;
import java.util.Optional;

/**
 * One delivery of an event, open or finished.
 *
 * @param generation 0: the original delivery; n: the n-th replay of its event
 * @param attempts attempts charged so far
 * @param runAt when it is due; empty for dead and finished ones
 * @param finishedAt when its last attempt ended; empty before the first one
 * @param reason a word for machines that says why the last attempt ended as it did
 * @param error what the handler, or the operator, said
 */
public record DeliveryStatus(
    String handler,
    int generation,
    DeliveryState state,
    int attempts,
    Optional<Instant> runAt,
    Optional<Instant> finishedAt,
    Optional<String> reason,
    Optional<String> error) {}
