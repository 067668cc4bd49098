package dev.cortex.events.operate;

/**
 * How far the pause or the resumption of an event type has come.
 *
 * @param moved deliveries moved to the held lane or back
 * @param settled nothing is left to move: not a delivery that a worker held, and not a transaction
 *     that may have emitted without knowing. Until then the workers go on by themselves.
 */
public record TypeMove(long moved, boolean settled) {}
