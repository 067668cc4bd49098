package dev.cortex.events.worker;

import java.util.concurrent.atomic.AtomicBoolean;

/**
 * Something that the thread of a slot holds while it works, and that others wait for: a turn at a
 * queue, a lane, a place beside the other batches. Given back once, by the thread or, when that is
 * lost, by whoever gives it up. Thread-safe.
 */
final class Hold implements AutoCloseable {
  private final AtomicBoolean isHeld = new AtomicBoolean(true);
  private final Runnable giveBack;

  Hold(Runnable giveBack) {
    this.giveBack = giveBack;
  }

  boolean isHeld() {
    return isHeld.get();
  }

  @Override
  public void close() {
    if (isHeld.compareAndSet(true, false)) {
      giveBack.run();
    }
  }
}
