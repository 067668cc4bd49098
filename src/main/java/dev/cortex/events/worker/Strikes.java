package dev.cortex.events.worker;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import dev.cortex.events.delivery.Delivery;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.locks.ReentrantLock;

/**
 * How often the database went away while this process ran a delivery alone. The database's faults
 * are free, but a delivery under which it goes away every time is at fault itself, and is charged.
 *
 * <p>Thread-safe. Remembers the last thousand deliveries only.
 */
final class Strikes {
  /** Why a delivery is charged instead of run. */
  enum Charge {
    DATABASE_GONE("database_gone", "the database went away under the handler, time and again"),
    TIME_BUDGET("time_budget", "the handler took longer than its time budget"),
    PROCESS_DIED("process_died", "the process that ran it alone died of it, or by chance with it");

    final String reason;
    final String error;

    Charge(String reason, String error) {
      this.reason = reason;
      this.error = error;
    }
  }

  /** This many in a row are nobody else's fault. */
  private static final int OUT = 5;

  private static final int REMEMBERED = 1_000;

  private record Strike(int count, Charge charge) {}

  /** With the attempt: what another process has run and charged since then begins anew. */
  private record Key(long number, short generation, int attempt) {
    static Key of(Delivery delivery) {
      return new Key(delivery.number(), delivery.generation(), delivery.attempt());
    }
  }

  private final ReentrantLock lock = new ReentrantLock();

  @GuardedBy("lock")
  private final Map<Key, Strike> strikes =
      new LinkedHashMap<>() {
        private static final long serialVersionUID = 1L;

        @Override
        protected boolean removeEldestEntry(Map.Entry<Key, Strike> eldest) {
          return size() > REMEMBERED;
        }
      };

  /** The database went away under this delivery. */
  void add(Delivery delivery) {
    lock.lock();
    try {
      strikes.merge(
          Key.of(delivery),
          new Strike(1, Charge.DATABASE_GONE),
          (known, one) -> new Strike(known.count() + 1, known.charge()));
    } finally {
      lock.unlock();
    }
  }

  /** This delivery, run alone, took longer than it may. */
  void overran(Delivery delivery) {
    lock.lock();
    try {
      strikes.put(Key.of(delivery), new Strike(OUT, Charge.TIME_BUDGET));
    } finally {
      lock.unlock();
    }
  }

  /** A process died while it ran this delivery alone. */
  void killed(Delivery delivery) {
    lock.lock();
    try {
      strikes.put(Key.of(delivery), new Strike(OUT, Charge.PROCESS_DIED));
    } finally {
      lock.unlock();
    }
  }

  /** Why the delivery is to be charged instead of run, if it is; it starts anew after that. */
  Optional<Charge> out(Delivery delivery) {
    lock.lock();
    try {
      Strike strike = strikes.get(Key.of(delivery));
      if (strike == null || strike.count() < OUT) {
        return Optional.empty();
      }
      strikes.remove(Key.of(delivery));
      return Optional.of(strike.charge());
    } finally {
      lock.unlock();
    }
  }
}
