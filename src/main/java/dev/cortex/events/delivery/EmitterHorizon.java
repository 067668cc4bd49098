package dev.cortex.events.delivery;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.Collections;
import java.util.HashSet;
import java.util.Set;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Up to which number every event is committed, or never will be. Numbers do not commit in order;
 * where order counts, a mark must not pass this.
 *
 * <p>Whoever emits holds a lock on the log from before it takes a number until after its commit can
 * be seen ({@code cortex.log_horizon}). So numbers that were given out are settled once all who
 * were emitting at the time have ended. No clock and no held snapshot enters into it, only
 * emitters.
 *
 * <p>An emitter that stays open for longer than a minute is not waited for: else every claim would
 * walk over all that was handled since it began. What it emitted may be handled after later events
 * of its key.
 *
 * <p>Thread-safe; one for all handlers of a process.
 */
public final class EmitterHorizon {
  private static final Duration INTERVAL = Duration.ofMillis(20);
  private static final int COST_FACTOR = 30;
  static final Duration PATIENCE = Duration.ofMinutes(1);

  /** An earlier look: the last number given out, and who was emitting then. */
  private record Look(long lastId, Set<String> emitters, long takenAt) {}

  private final LaneStore store;
  private final ReentrantLock looking = new ReentrantLock();
  private volatile long floor;

  @GuardedBy("looking")
  private long nextLook = System.nanoTime();

  @GuardedBy("looking")
  private Look earlier = new Look(0, Set.of(), System.nanoTime());

  @GuardedBy("looking")
  private final Set<String> givenUp = new HashSet<>();

  /** Knows of no number yet: the first look begins. */
  public EmitterHorizon(LaneStore store) {
    this.store = store;
  }

  /** No event with a lower number is still to be committed. */
  public long floor() {
    return floor;
  }

  /** Looks again, unless that was done just now or is being done. */
  public void refresh(Connection connection) throws SQLException {
    if (!looking.tryLock()) {
      return;
    }
    try {
      long start = System.nanoTime();
      if (start - nextLook < 0) {
        return;
      }
      LaneStore.Horizon horizon = store.horizon(connection);
      long now = System.nanoTime();
      nextLook = now + Math.max(INTERVAL.toNanos(), (now - start) * COST_FACTOR);
      seen(horizon.lastId(), horizon.emitters(), now);
    } finally {
      looking.unlock();
    }
  }

  /** Takes note of a look; looks come in the order in which they were taken. */
  void seen(long lastId, Set<String> emitters, long now) {
    looking.lock();
    try {
      givenUp.retainAll(emitters);
      Set<String> open = new HashSet<>(emitters);
      open.removeAll(givenUp);
      awaitPrepared(emitters, open);
      if (!Collections.disjoint(earlier.emitters(), open)) {
        if (now - earlier.takenAt() < PATIENCE.toNanos()) {
          return;
        }
        Set<String> late = new HashSet<>(open);
        late.retainAll(earlier.emitters());
        givenUp.addAll(late);
        open.removeAll(late);
      }
      floor = earlier.lastId() + 1;
      earlier = new Look(lastId, open, now);
      if (open.isEmpty()) {
        floor = lastId + 1;
      }
    } finally {
      looking.unlock();
    }
  }

  /** An emitter that is seen no more has ended, or is prepared and has another name now. */
  @GuardedBy("looking")
  private void awaitPrepared(Set<String> emitters, Set<String> open) {
    if (earlier.emitters().stream().allMatch(e -> isPrepared(e) || emitters.contains(e))) {
      return;
    }
    Set<String> awaited = new HashSet<>(earlier.emitters());
    awaited.retainAll(emitters);
    open.stream().filter(EmitterHorizon::isPrepared).forEach(awaited::add);
    earlier = new Look(earlier.lastId(), awaited, earlier.takenAt());
  }

  /** Of no backend: PostgreSQL's words for a prepared transaction (pg_locks.virtualtransaction). */
  private static boolean isPrepared(String emitter) {
    return emitter.startsWith("-1/");
  }
}
