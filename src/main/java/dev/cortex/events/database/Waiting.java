package dev.cortex.events.database;

import java.time.Duration;
import java.util.concurrent.locks.LockSupport;
import java.util.function.BooleanSupplier;

/** Waiting for another process, of which nothing can signal us: look, pause, look again. */
final class Waiting {
  private static final Duration PAUSE = Duration.ofMillis(20);

  private Waiting() {}

  /** Whether the condition came true within the time. Ends early, with false, on an interrupt. */
  static boolean until(Duration time, BooleanSupplier condition) {
    long end = System.nanoTime() + time.toNanos();
    while (!condition.getAsBoolean()) {
      if (System.nanoTime() - end >= 0 || !pause()) {
        return false;
      }
    }
    return true;
  }

  /** Pauses before the next look. False if the thread is interrupted, which it stays. */
  static boolean pause() {
    LockSupport.parkNanos(PAUSE.toNanos());
    return !Thread.currentThread().isInterrupted();
  }
}
