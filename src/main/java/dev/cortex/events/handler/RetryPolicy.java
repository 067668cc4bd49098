package dev.cortex.events.handler;

import java.time.Duration;
import java.util.List;
import java.util.Optional;

/**
 * How often, after what delays and for how long a failed delivery runs again. Every {@code with}
 * method returns a changed copy.
 *
 * <pre>{@code
 * RetryPolicy.defaults().withMaxAttempts(5).withDelays(Duration.ofSeconds(10), Duration.ofMinutes(10))
 * RetryPolicy.defaults().withFixedDelay(Duration.ofMinutes(1)).withMaxAge(Duration.ofHours(1))
 * RetryPolicy.defaults().withDelayList(Duration.ofSeconds(5), Duration.ofMinutes(1), Duration.ofHours(1))
 * }</pre>
 *
 * @param maxAttempts attempts before the delivery is dead, 1 to 1000
 * @param delays how long each wait is
 * @param maxAge a delivery whose event was received longer ago than that is dead with the reason
 *     {@code expired} before it runs, at least a second and at most 3650 days; empty: none is too
 *     old. It ages while it waits for its {@code run_at} and for a paused handler too
 */
public record RetryPolicy(int maxAttempts, Delays delays, Optional<Duration> maxAge) {

  /** How long each wait between two attempts is. */
  public sealed interface Delays {
    /**
     * How long to wait after the n-th failed attempt.
     *
     * @param failedAttempts from 1
     * @param random evenly spread over [0, 1): the jitter, where there is one
     */
    Duration after(int failedAttempts, double random);
  }

  /**
   * Doubles from the first delay up to the longest; jitter of up to a quarter either way keeps
   * deliveries that failed together apart.
   *
   * @param first after the first failed attempt, at least a millisecond
   * @param longest what no delay exceeds before jitter, at least the first and at most 3650 days
   */
  public record Exponential(Duration first, Duration longest) implements Delays {
    private static final int LAST_DOUBLING = 30;

    public Exponential {
      check("firstDelay", first);
      if (longest.compareTo(first) < 0) {
        throw new IllegalArgumentException(
            "longestDelay must be at least the first (" + first + "), was " + longest);
      }
      check("longestDelay", longest);
    }

    @Override
    public Duration after(int failedAttempts, double random) {
      double doublings = Math.min(failedAttempts - 1, LAST_DOUBLING);
      double delay =
          Math.min((double) longest.toMillis(), first.toMillis() * Math.pow(2, doublings));
      return Duration.ofMillis(Math.round(delay * (0.75 + random / 2)));
    }
  }

  /**
   * The same after every failed attempt, without jitter.
   *
   * @param delay 1 millisecond to 3650 days
   */
  public record Fixed(Duration delay) implements Delays {
    public Fixed {
      check("fixedDelay", delay);
    }

    @Override
    public Duration after(int failedAttempts, double random) {
      return delay;
    }
  }

  /**
   * One after the other, without jitter; the last one again and again.
   *
   * @param delays at least one, each 1 millisecond to 3650 days
   */
  public record Listed(List<Duration> delays) implements Delays {
    public Listed {
      delays = List.copyOf(delays);
      if (delays.isEmpty()) {
        throw new IllegalArgumentException("delayList must have a delay, was empty");
      }
      delays.forEach(delay -> check("delayList", delay));
    }

    @Override
    public Duration after(int failedAttempts, double random) {
      return delays.get(Math.min(failedAttempts, delays.size()) - 1);
    }
  }

  private static final Duration SHORTEST_AGE = Duration.ofSeconds(1);

  public RetryPolicy {
    if (maxAttempts < 1 || maxAttempts > 1000) {
      throw new IllegalArgumentException("maxAttempts must be 1 to 1000, was " + maxAttempts);
    }
    if (maxAge.filter(age -> age.compareTo(SHORTEST_AGE) < 0 || isTooLong(age)).isPresent()) {
      throw new IllegalArgumentException(
          "maxAge must be 1 second to 3650 days, was " + maxAge.get());
    }
  }

  private static void check(String name, Duration delay) {
    if (delay.isNegative() || delay.toMillis() < 1) {
      throw new IllegalArgumentException(name + " must be at least a millisecond, was " + delay);
    }
    if (isTooLong(delay)) {
      throw new IllegalArgumentException(name + " must be at most 3650 days, was " + delay);
    }
  }

  private static boolean isTooLong(Duration duration) {
    return duration.compareTo(Outcome.LONGEST_DELAY) > 0;
  }

  /** 20 attempts, 1 second doubling to 1 hour: about 8 hours until the dead letter; any age. */
  public static RetryPolicy defaults() {
    return new RetryPolicy(
        20, new Exponential(Duration.ofSeconds(1), Duration.ofHours(1)), Optional.empty());
  }

  /**
   * A dead letter after so many attempts, 1 to 1000, of which the first one counts.
   *
   * @throws IllegalArgumentException for any other number
   */
  public RetryPolicy withMaxAttempts(int maxAttempts) {
    return new RetryPolicy(maxAttempts, delays, maxAge);
  }

  /** With delays that double from the first one up to the longest. */
  public RetryPolicy withDelays(Duration firstDelay, Duration longestDelay) {
    return new RetryPolicy(maxAttempts, new Exponential(firstDelay, longestDelay), maxAge);
  }

  /** With the same delay after every failed attempt. */
  public RetryPolicy withFixedDelay(Duration delay) {
    return new RetryPolicy(maxAttempts, new Fixed(delay), maxAge);
  }

  /** With these delays one after the other; the last one counts for all later attempts. */
  public RetryPolicy withDelayList(Duration... delays) {
    return new RetryPolicy(maxAttempts, new Listed(List.of(delays)), maxAge);
  }

  /** With deliveries dead as {@code expired} whose event was received longer ago than that. */
  public RetryPolicy withMaxAge(Duration maxAge) {
    return new RetryPolicy(maxAttempts, delays, Optional.of(maxAge));
  }

  /** Whether a delivery is dead that has failed this often. */
  public boolean isSpent(int failedAttempts) {
    return failedAttempts >= maxAttempts;
  }

  /** Whether an event of this age is too old to be run. */
  public boolean isTooOld(Duration age) {
    return maxAge.filter(limit -> age.compareTo(limit) > 0).isPresent();
  }

  /**
   * How long to wait after the n-th failed attempt.
   *
   * @param failedAttempts from 1
   * @param random evenly spread over [0, 1): the jitter, where there is one
   */
  public Duration delayAfter(int failedAttempts, double random) {
    return delays.after(failedAttempts, random);
  }
}
