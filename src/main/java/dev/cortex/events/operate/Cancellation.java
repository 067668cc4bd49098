package dev.cortex.events.operate;

/**
 * What a request to cancel did to one delivery.
 *
 * @param state cancelled; running: a transaction holds it, and its handler is told to end; or
 *     finished: it ended meanwhile
 */
public record Cancellation(String handler, int generation, DeliveryState state) {}
