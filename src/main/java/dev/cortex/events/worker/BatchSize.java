package dev.cortex.events.worker;

import java.time.Duration;

/**
 * How many events of a handler one transaction takes. Halves when a batch clashes with another
 * transaction or takes long, shrinks when it is heavy, and grows by a tenth of the maximum while
 * full batches go well: additive increase, multiplicative decrease, as in congestion control.
 *
 * <p>Thread-safe: the slots of a process share it; a lost update only delays a step.
 */
final class BatchSize {
  /** A batch that takes longer pins the database's horizon, and is lost whole in a crash. */
  private static final Duration LONG = Duration.ofMillis(500);

  /** A claim that weighs more takes memory that a small process may not have. */
  private static final long HEAVY_CHARACTERS = 8_000_000;

  /**
   * After a clash it grows again when this many times its cost have passed. A deadlock is noticed
   * after a second: growing into the next one at once would leave time for little else.
   */
  private static final int CLASH_COST_FACTOR = 30;

  /** Until one has been weighed, nobody knows how much memory a batch takes. */
  private static final int FIRST = 100;

  private final int maximum;
  private volatile int current;
  private volatile long growsAgain = System.nanoTime();

  BatchSize(int maximum) {
    this.maximum = maximum;
    this.current = Math.min(maximum, FIRST);
  }

  int current() {
    return current;
  }

  /** A batch was committed. */
  void succeeded(int events, Duration duration) {
    int size = current;
    if (duration.compareTo(LONG) <= 0 && System.nanoTime() - growsAgain < 0) {
      return;
    }
    if (duration.compareTo(LONG) > 0) {
      current = Math.max(1, Math.min(size, events) / 2);
    } else if (events >= size && size < maximum) {
      current = Math.min(maximum, size + Math.max(1, maximum / 10));
    }
  }

  /** A claim returned this much JSON: the next one is to stay within bounds. */
  void weighed(int events, long characters) {
    if (characters > HEAVY_CHARACTERS) {
      current = (int) Math.max(1, events * HEAVY_CHARACTERS / characters);
    }
  }

  /**
   * A batch met a rival, overran, or lost its connection.
   *
   * @param cost how long it had run
   */
  void clashed(Duration cost) {
    current = Math.max(1, current / 2);
    growsAgain = System.nanoTime() + cost.toNanos() * CLASH_COST_FACTOR;
  }
}
