package dev.cortex.events.handler;

import java.time.Duration;
import java.util.Optional;

/**
 * What becomes of a delivery after an attempt. The effects of the attempt persist with done only.
 */
public sealed interface Outcome {

  /** Effects and acknowledgement commit together. */
  record Done() implements Outcome {}

  /**
   * It failed and an attempt is charged; it runs again, or is dead after the last attempt.
   *
   * @param delay until the next attempt; absent: as the retry policy says
   */
  record Retry(String error, Optional<Duration> delay) implements Outcome {}

  /** It runs again later, without an attempt being charged. */
  record Snooze(Duration delay) implements Outcome {
    public Snooze {
      if (delay.isNegative() || delay.isZero()) {
        throw new IllegalArgumentException("snooze delay must be positive, was " + delay);
      }
    }
  }

  /** It never runs again by itself: the dead letter. */
  record Dead(String error) implements Outcome {}

  /** It need not run at all. */
  record Cancel(String reason) implements Outcome {}

  static Outcome done() {
    return new Done();
  }

  static Outcome retry(String error) {
    return new Retry(error, Optional.empty());
  }

  static Outcome retryIn(Duration delay, String error) {
    return new Retry(error, Optional.of(delay));
  }

  static Outcome snooze(Duration delay) {
    return new Snooze(delay);
  }

  static Outcome dead(String error) {
    return new Dead(error);
  }

  static Outcome cancel(String reason) {
    return new Cancel(reason);
  }
}
