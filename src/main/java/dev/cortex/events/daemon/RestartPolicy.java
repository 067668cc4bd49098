package dev.cortex.events.daemon;

import java.time.Duration;
import java.util.Locale;
import java.util.Optional;

/**
 * When a daemon that has ended by itself is started again: after a second, then two, four, and so
 * on up to a minute; as often in a row as the limit says. Whoever has run for longer than a minute
 * starts to count anew.
 *
 * @param when after which ends
 * @param limit how often in a row, 0 to 1000
 */
public record RestartPolicy(When when, int limit) {
  /** A run that has lasted as long as this was none of a row of failures. */
  static final Duration STEADY = Duration.ofMinutes(1);

  private static final long LONGEST_DELAY_SECONDS = 60;

  /** After which ends of the program. */
  public enum When {
    /** Any other than exit status 0. */
    ON_FAILURE,
    /** Any. */
    ALWAYS,
    /** None. */
    NEVER;

    static When of(String word) {
      for (When when : values()) {
        if (when.name().toLowerCase(Locale.ROOT).replace('_', '-').equals(word)) {
          return when;
        }
      }
      throw new IllegalArgumentException("must be on-failure, always or never, was " + word);
    }
  }

  /** Checks the limit. */
  public RestartPolicy {
    if (limit < 0 || limit > 1000) {
      throw new IllegalArgumentException("must be 0 to 1000, was " + limit);
    }
  }

  /** After failures, five in a row. */
  public static RestartPolicy defaults() {
    return new RestartPolicy(When.ON_FAILURE, 5);
  }

  /** Whether the program is to run again, whatever the limit. */
  boolean wants(int exitStatus) {
    return when == When.ALWAYS || (when == When.ON_FAILURE && exitStatus != 0);
  }

  /** How long to wait before the n-th restart in a row; empty when there is none any more. */
  Optional<Duration> delay(int restart) {
    if (restart > limit) {
      return Optional.empty();
    }
    long seconds = 1L << Math.min(restart - 1, 10);
    return Optional.of(Duration.ofSeconds(Math.min(seconds, LONGEST_DELAY_SECONDS)));
  }
}
