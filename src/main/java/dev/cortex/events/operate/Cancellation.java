package dev.cortex.events.operate;

/**
 * What a request to cancel did to one delivery.
 *
 * @param state cancelled; running: a worker holds it and nothing was changed; or finished: it ended
 *     meanwhile
 */
public record Cancellation(String handler, int generation, DeliveryState state) {}
