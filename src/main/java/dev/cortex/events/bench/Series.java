package dev.cortex.events.bench;

import java.util.List;

/**
 * A rate over time.
 *
 * @param name whose, and under what
 * @param perSecond the events handled in each second
 */
public record Series(String name, List<Double> perSecond) {
  public Series {
    perSecond = List.copyOf(perSecond);
  }

  /** The rate over all of it. */
  double average() {
    return perSecond.stream().mapToDouble(Double::doubleValue).average().orElse(0);
  }
}
