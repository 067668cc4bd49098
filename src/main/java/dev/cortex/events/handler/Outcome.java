package dev.cortex.events.handler;

import java.time.Duration;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * What becomes of a delivery after an attempt. The effects of the attempt persist with done only.
 *
 * <p>A delay is positive and at most ten years. A text may be null, as the message of many
 * exceptions is, and is empty then.
 */
public sealed interface Outcome {
  /** What the database's timestamps and a person's patience both hold. */
  Duration LONGEST_DELAY = Duration.ofDays(3650);

  /** Effects and acknowledgement commit together. */
  record Done() implements Outcome {}

  /**
   * It failed and an attempt is charged; it runs again, or is dead after the last attempt.
   *
   * @param delay until the next attempt; absent: as the retry policy says
   */
  record Retry(String error, Optional<Duration> delay) implements Outcome {
    public Retry {
      error = orEmpty(error);
      delay.ifPresent(given -> checkDelay("retry", given));
    }
  }

  /** It runs again later, without an attempt being charged. */
  record Snooze(Duration delay) implements Outcome {
    public Snooze {
      checkDelay("snooze", delay);
    }
  }

  /** It never runs again by itself: the dead letter. */
  record Dead(String error) implements Outcome {
    public Dead {
      error = orEmpty(error);
    }
  }

  /** It need not run at all. */
  record Cancel(String reason) implements Outcome {
    public Cancel {
      reason = orEmpty(reason);
    }
  }

  static Outcome done() {
    return new Done();
  }

  static Outcome retry(@Nullable String error) {
    return new Retry(orEmpty(error), Optional.empty());
  }

  static Outcome retryIn(Duration delay, @Nullable String error) {
    return new Retry(orEmpty(error), Optional.of(delay));
  }

  static Outcome snooze(Duration delay) {
    return new Snooze(delay);
  }

  static Outcome dead(@Nullable String error) {
    return new Dead(orEmpty(error));
  }

  static Outcome cancel(@Nullable String reason) {
    return new Cancel(orEmpty(reason));
  }

  private static String orEmpty(@Nullable String text) {
    return text == null ? "" : text;
  }

  private static void checkDelay(String outcome, Duration delay) {
    if (delay.isNegative() || delay.isZero()) {
      throw new IllegalArgumentException(outcome + " delay must be positive, was " + delay);
    }
    if (delay.compareTo(LONGEST_DELAY) > 0) {
      throw new IllegalArgumentException(
          outcome + " delay must be at most " + LONGEST_DELAY.toDays() + " days, was " + delay);
    }
  }
}
