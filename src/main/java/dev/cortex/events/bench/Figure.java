package dev.cortex.events.bench;

import java.util.Optional;

/**
 * One number of the result.
 *
 * @param workload what was measured
 * @param contender whom it is of: {@code cortex}, {@code floor}, a peer, or a variant of ours
 * @param value the median over the rounds
 * @param unit such as {@code events/s} or {@code ms}
 * @param cost what it cost, where that was measured
 */
public record Figure(
    String workload, String contender, double value, String unit, Optional<Cost> cost) {

  static final String RATE = "events/s";

  static Figure of(String workload, String contender, double value, String unit) {
    return new Figure(workload, contender, value, unit, Optional.empty());
  }
}
