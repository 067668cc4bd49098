package dev.cortex.events.operate;

import java.time.Instant;
import java.util.Optional;

/**
 * How far a back-fill has come.
 *
 * @param state running; waiting: for transactions that were open before it; finished; cancelled
 * @param since events received then or later; empty: from the beginning
 * @param until events received before then; empty: before all emitters had ended that did not see
 *     the subscription
 * @param reachedAt it has looked at events received up to then
 * @param rate deliveries made per second, at most
 * @param made deliveries made
 * @param requestedBy the login
 */
public record Backfill(
    int id,
    String handler,
    String state,
    Optional<Instant> since,
    Optional<Instant> until,
    Optional<Instant> reachedAt,
    int rate,
    long made,
    Instant requestedAt,
    String requestedBy,
    Optional<Instant> endedAt) {}
