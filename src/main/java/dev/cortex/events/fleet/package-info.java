/**
 * Cortex's own handlers: what its daemons did. They use what any user of the engine can use, and
 * nothing else; what they remember lies in the schema {@code fleet}.
 *
 * <p>Read first: {@link dev.cortex.events.fleet.FleetHandlers}. Each handler's class states its
 * rules once, with units, and why events that arrive in another order leave the same rows: {@code
 * TaskBoard} is a good one to begin with. They read payloads through {@code Payload}, run
 * statements through {@code Sql}, and tell of troubles through {@code AlertEpisodes}. The
 * thresholds are columns of {@code fleet.settings}, and what is old is judged by the database's
 * clock.
 */
@NullMarked
package dev.cortex.events.fleet;

import org.jspecify.annotations.NullMarked;
