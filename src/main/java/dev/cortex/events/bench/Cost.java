package dev.cortex.events.bench;

import java.util.Optional;

/**
 * What some work cost.
 *
 * @param serverMicros processor time of the server per event; empty when the server is not on this
 *     machine or cannot be seen
 * @param workerMicros processor time of the worker processes per event; empty where the work was
 *     done in this process
 * @param walBytes written-ahead log per event
 * @param deadTuples dead rows that it left in the database's tables, as far as the statistics know
 *     yet
 */
public record Cost(
    Optional<Double> serverMicros,
    Optional<Double> workerMicros,
    double walBytes,
    long deadTuples) {}
