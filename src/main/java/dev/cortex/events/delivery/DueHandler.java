package dev.cortex.events.delivery;

import java.time.Instant;
import java.util.Optional;

/**
 * What a handler's queue holds for a worker that is about to sleep.
 *
 * @param handlerId the handler
 * @param isDue whether something could be claimed now
 * @param nextRunAt when, by the server's clock, the next delivery is due that is not due yet
 * @param checkedAt the server's clock
 */
public record DueHandler(
    short handlerId, boolean isDue, Optional<Instant> nextRunAt, Instant checkedAt) {}
