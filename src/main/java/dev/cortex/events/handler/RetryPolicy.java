package dev.cortex.events.handler;

import java.time.Duration;

/**
 * How often and after what delays a failed delivery runs again. The delay doubles from the first
 * one up to the longest; jitter of up to a quarter either way keeps deliveries that failed together
 * apart.
 *
 * @param maxAttempts attempts before the delivery is dead, 1 to 1000
 * @param firstDelay after the first failed attempt, at least a millisecond
 * @param longestDelay what no delay exceeds before jitter, at least the first and at most 3650 days
 */
public record RetryPolicy(int maxAttempts, Duration firstDelay, Duration longestDelay) {

  private static final int LAST_DOUBLING = 30;

  public RetryPolicy {
    if (maxAttempts < 1 || maxAttempts > 1000) {
      throw new IllegalArgumentException("maxAttempts must be 1 to 1000, was " + maxAttempts);
    }
    if (firstDelay.toMillis() < 1) {
      throw new IllegalArgumentException(
          "firstDelay must be at least a millisecond, was " + firstDelay);
    }
    if (longestDelay.compareTo(firstDelay) < 0) {
      throw new IllegalArgumentException(
          "longestDelay must be at least the first (" + firstDelay + "), was " + longestDelay);
    }
    if (longestDelay.compareTo(Outcome.LONGEST_DELAY) > 0) {
      throw new IllegalArgumentException(
          "longestDelay must be at most 3650 days, was " + longestDelay);
    }
  }

  /** 20 attempts, 1 second doubling to 1 hour: about 8 hours until the dead letter. */
  public static RetryPolicy defaults() {
    return new RetryPolicy(20, Duration.ofSeconds(1), Duration.ofHours(1));
  }

  public RetryPolicy withMaxAttempts(int maxAttempts) {
    return new RetryPolicy(maxAttempts, firstDelay, longestDelay);
  }

  public RetryPolicy withDelays(Duration firstDelay, Duration longestDelay) {
    return new RetryPolicy(maxAttempts, firstDelay, longestDelay);
  }

  /** Whether a delivery is dead that has failed this often. */
  public boolean isSpent(int failedAttempts) {
    return failedAttempts >= maxAttempts;
  }

  /**
   * How long to wait after the n-th failed attempt.
   *
   * @param failedAttempts from 1
   * @param random evenly spread over [0, 1): the jitter
   */
  public Duration delayAfter(int failedAttempts, double random) {
    double doublings = Math.min(failedAttempts - 1, LAST_DOUBLING);
    double first = firstDelay.toMillis();
    double delay = Math.min((double) longestDelay.toMillis(), first * Math.pow(2, doublings));
    return Duration.ofMillis(Math.round(delay * (0.75 + random / 2)));
  }
}
