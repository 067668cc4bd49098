package dev.cortex.events.bench;

import java.util.Optional;

/**
 * What was to be reached.
 *
 * @param demand in words
 * @param limit the number to reach
 * @param figure what came out; empty when this run did not measure it
 * @param isCeiling whether the figure must stay at or under the limit, instead of at or over it
 */
public record Bar(String demand, double limit, Optional<Double> figure, boolean isCeiling) {

  /** Whether it is; empty when this run did not measure it. */
  public Optional<Boolean> isReached() {
    return figure.map(value -> isCeiling ? value <= limit : value >= limit);
  }
}
