/**
 * Cortex's own handlers: worker health and stale workers, alerts, learning, clean-up. They use what
 * any user of the engine can use, and nothing else; what they remember lies in the schema {@code
 * fleet}.
 *
 * <p>Read first: {@link dev.cortex.events.fleet.FleetHandlers}. Each handler's class states its
 * rules once, with units, and why events that arrive in another order leave the same rows. The
 * thresholds are columns of {@code fleet.settings}, and what is old is judged by the database's
 * clock.
 */
@NullMarked
package dev.cortex.events.fleet;

import org.jspecify.annotations.NullMarked;
