package dev.cortex.events.worker;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import dev.cortex.events.delivery.Delivery;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.locks.ReentrantLock;

/**
 * How often this process ran a delivery, alone, that came to nothing through no fault that costs an
 * attempt. What others are at fault for is free; but what happens to a delivery every time is its
 * own doing, and is charged.
 *
 * <p>Thread-safe. Remembers the last thousand strikes only.
 */
final class Strikes {
  /** Why a delivery is charged instead of run. */
  enum Charge {
    PROCESS_DIED(
        1, "process_died", "the process that ran it alone died of it, or by chance with it"),
    TIME_BUDGET(
        1,
        "time_budget",
        "the handler took longer than its time budget; what takes long is for a leased handler"),
    DATABASE_GONE(5, "database_gone", "the database went away under the handler, time and again"),
    CONTENTION(10, "contention", "it clashed with other transactions, time and again");

    /** This many in a row are nobody else's fault. */
    private final int out;

    final String reason;
    final String error;

    Charge(int out, String reason, String error) {
      this.out = out;
      this.reason = reason;
      this.error = error;
    }
  }

  private static final int REMEMBERED = 1_000;

  /** With the attempt: what another process has run and charged since then begins anew. */
  private record Key(long number, short generation, int attempt, Charge charge) {
    static Key of(Delivery delivery, Charge charge) {
      return new Key(delivery.number(), delivery.generation(), delivery.attempt(), charge);
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

  /** It has happened to this delivery once more. */
  void add(Delivery delivery, Charge charge) {
    lock.lock();
    try {
      counts.merge(Key.of(delivery, charge), 1, Integer::sum);
    } finally {
      lock.unlock();
    }
  }

  /** Why the delivery is to be charged instead of run, if it is; it starts anew after that. */
  Optional<Charge> out(Delivery delivery) {
    lock.lock();
    try {
      for (Charge charge : Charge.values()) {
        if (counts.getOrDefault(Key.of(delivery, charge), 0) >= charge.out) {
          forget(delivery);
          return Optional.of(charge);
        }
      }
      return Optional.empty();
    } finally {
      lock.unlock();
    }
  }

  /** The delivery came to something. */
  void forget(Delivery delivery) {
    lock.lock();
    try {
      for (Charge charge : Charge.values()) {
        counts.remove(Key.of(delivery, charge));
      }
    } finally {
      lock.unlock();
    }
  }
}
