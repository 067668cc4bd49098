package dev.cortex.events.worker;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import dev.cortex.events.delivery.Delivery;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.locks.ReentrantLock;

/**
 * How often the database went away while this process ran a delivery alone. The database's faults
 * are free, but a delivery under which it goes away every time is at fault itself, and is charged.
 *
 * <p>Thread-safe. Remembers the last thousand deliveries only.
 */
final class Strikes {
  /** This many in a row are nobody else's fault. */
  private static final int OUT = 5;

  private static final int REMEMBERED = 1_000;

  private record Key(long number, short generation) {
    static Key of(Delivery delivery) {
      return new Key(delivery.number(), delivery.generation());
    }
  }

  private final ReentrantLock lock = new ReentrantLock();

  @GuardedBy("lock")
  private final Map<Key, Integer> counts =
      new LinkedHashMap<>() {
        private static final long serialVersionUID = 1L;

        @Override
        protected boolean removeEldestEntry(Map.Entry<Key, Integer> eldest) {
          return size() > REMEMBERED;
        }
      };

  /** The database went away under this delivery. */
  void add(Delivery delivery) {
    lock.lock();
    try {
      counts.merge(Key.of(delivery), 1, Integer::sum);
    } finally {
      lock.unlock();
    }
  }

  /** Whether the delivery is to be charged instead of run; it starts anew after that. */
  boolean isOut(Delivery delivery) {
    lock.lock();
    try {
      boolean isOut = counts.getOrDefault(Key.of(delivery), 0) >= OUT;
      if (isOut) {
        counts.remove(Key.of(delivery));
      }
      return isOut;
    } finally {
      lock.unlock();
    }
  }
}
