/**
 * The queue: claiming deliveries, acknowledging and settling them, the low-water marks with their
 * sweeps, and the wake-up protocol. All of the queue's SQL that is not in the migrations stands
 * here.
 *
 * <p>Read first: {@link dev.cortex.events.delivery.DeliveryStore}, whose {@code claim} is the hot
 * path. Nothing in here owns a thread, a pool or a transaction; that is the worker's.
 */
@NullMarked
package dev.cortex.events.delivery;

import org.jspecify.annotations.NullMarked;
