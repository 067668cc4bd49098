package dev.cortex.events.worker;

import java.time.Duration;

/**
 * How many events of a handler one transaction takes. Halves when a batch clashes with another
 * transaction or takes long, and grows by a tenth of the maximum while full batches go well:
 * additive increase, multiplicative decrease, as in congestion control.
 *
 * <p>Thread-safe: the slots of a process share it; a lost update only delays a step.
 */
final class BatchSize {
  /** A batch that takes longer pins the database's horizon, and is lost whole in a crash. */
  private static final Duration LONG = Duration.ofMillis(500);

  private final int maximum;
  private volatile int current;

  BatchSize(int maximum) {
    this.maximum = maximum;
    this.current = maximum;
  }

  int current() {
    return current;
  }

  /** A batch was committed. */
  void succeeded(int events, Duration duration) {
    int size = current;
    if (duration.compareTo(LONG) > 0) {
      current = Math.max(1, Math.min(size, events) / 2);
    } else if (events >= size && size < maximum) {
      current = Math.min(maximum, size + Math.max(1, maximum / 10));
    }
  }

  /** A batch met a rival, or the connection was lost under it. */
  void clashed() {
    current = Math.max(1, current / 2);
  }
}
