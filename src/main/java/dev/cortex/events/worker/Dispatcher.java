package dev.cortex.events.worker;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * Says which slot works which handler's queue. A queue is due from when something may be in it
 * until a claim comes back empty. The slot goes to the due queue with the fewest slots, then to the
 * one that has waited longest, so that a handler with a million events takes every slot but never
 * all the turns. Leased queues have places of their own, so that long work keeps no slot from what
 * is quick; a worker that only runs such work may rest beside it.
 *
 * <p>Thread-safe.
 */
final class Dispatcher {

  /** A queue and what is known of it. Guarded by the dispatcher's lock. */
  private static final class Entry {
    final HandlerQueue queue;
    boolean isDue = true;

    /** Counts the wake-ups, so that a claim's emptiness cannot undo one that came meanwhile. */
    long wakeUps;

    /**
     * Whether one more slot is worth it beside those that work it: its last claim was full, or
     * somebody has seen more in it since. Whoever takes the turn uses it up.
     */
    boolean mayAddSlot;

    int slots;
    long servedAt;

    Entry(HandlerQueue queue) {
      this.queue = queue;
    }
  }

  /** A queue handed to a slot, to be given back by {@link #done}. */
  static final class Turn {
    private final Entry entry;
    private final long wakeUps;
    private boolean hasFound;
    private boolean isDone;

    private Turn(Entry entry) {
      this.entry = entry;
      this.wakeUps = entry.wakeUps;
    }

    HandlerQueue queue() {
      return entry.queue;
    }
  }

  /** What a claim found. */
  enum Found {
    NOTHING,
    SOME,
    FULL,
    /** As many run in the cluster as may: whether there is more was not looked for. */
    NO_PLACE
  }

  private final ReentrantLock lock = new ReentrantLock();
  private final Condition changed = lock.newCondition();
  private final Runnable whenIdle;

  @GuardedBy("lock")
  private final List<Entry> entries = new ArrayList<>();

  @GuardedBy("lock")
  private boolean isStopping;

  @GuardedBy("lock")
  private long turns;

  /**
   * @param whenIdle called, with the lock held, when the last slot runs out of work
   */
  Dispatcher(Collection<HandlerQueue> queues, Runnable whenIdle) {
    this.whenIdle = whenIdle;
    queues.forEach(queue -> entries.add(new Entry(queue)));
  }

  /** Waits for a queue that is due; empty when the worker stops. */
  Optional<Turn> take() throws InterruptedException {
    return take(false);
  }

  /** The same for a place that runs leased deliveries. */
  Optional<Turn> takeLeased() throws InterruptedException {
    return take(true);
  }

  private Optional<Turn> take(boolean isLeased) throws InterruptedException {
    lock.lockInterruptibly();
    try {
      while (!isStopping) {
        Optional<Entry> next =
            entries.stream()
                .filter(entry -> entry.queue.isLeased() == isLeased)
                .filter(entry -> entry.isDue && (entry.slots == 0 || entry.mayAddSlot))
                .min(
                    Comparator.<Entry>comparingInt(entry -> entry.slots)
                        .thenComparingLong(entry -> entry.servedAt));
        if (next.isPresent()) {
          return Optional.of(begin(next.get()));
        }
        changed.await();
      }
      return Optional.empty();
    } finally {
      lock.unlock();
    }
  }

  @GuardedBy("lock")
  private Turn begin(Entry entry) {
    entry.slots++;
    entry.mayAddSlot = false;
    entry.servedAt = ++turns;
    return new Turn(entry);
  }

  /** Takes note of what the claim of this turn found, before it is worked. */
  void claimed(Turn turn, Found found) {
    lock.lock();
    try {
      Entry entry = turn.entry;
      entry.mayAddSlot |= found == Found.FULL;
      turn.hasFound |= found == Found.FULL;
      // Where this process has the places itself, whoever of it gives one back goes on.
      boolean isElsewhere = found == Found.NO_PLACE && entry.slots == 1;
      if ((found == Found.NOTHING || isElsewhere) && entry.wakeUps == turn.wakeUps) {
        entry.isDue = false;
      }
      changed.signalAll();
    } finally {
      lock.unlock();
    }
  }

  /** Gives a queue back, once. */
  void done(Turn turn) {
    lock.lock();
    try {
      if (turn.isDone) {
        return;
      }
      turn.isDone = true;
      turn.entry.slots--;
      // Where a limit kept the last lease from being taken, there is room for one now.
      turn.entry.isDue |= turn.entry.queue.isLeased() && turn.hasFound;
      changed.signalAll();
      if (isIdleLocked()) {
        whenIdle.run();
      }
    } finally {
      lock.unlock();
    }
  }

  /** Something may be in this handler's queue, maybe below its marks. */
  void wake(short handlerId) {
    lock.lock();
    try {
      for (Entry entry : entries) {
        if (entry.queue.handlerId() == handlerId) {
          wake(entry);
        }
      }
    } finally {
      lock.unlock();
    }
  }

  /** Something is in this queue, maybe below its marks. */
  void wake(HandlerQueue queue) {
    lock.lock();
    try {
      for (Entry entry : entries) {
        if (entry.queue == queue) {
          wake(entry);
        }
      }
    } finally {
      lock.unlock();
    }
  }

  /** Something may be in any queue, maybe below its marks. */
  void wakeAll() {
    lock.lock();
    try {
      entries.forEach(this::wake);
    } finally {
      lock.unlock();
    }
  }

  @GuardedBy("lock")
  private void wake(Entry entry) {
    if (entry.isDue) {
      entry.queue.marks().sweepSoon();
    } else {
      entry.queue.marks().drop();
    }
    entry.isDue = true;
    entry.mayAddSlot = true;
    entry.wakeUps++;
    changed.signalAll();
  }

  /** Whether no slot works and no queue is due; leased deliveries may be running. */
  boolean isIdle() {
    lock.lock();
    try {
      return isIdleLocked();
    } finally {
      lock.unlock();
    }
  }

  /** Whether anybody has a turn, for a leased delivery too. */
  boolean hasTurns() {
    lock.lock();
    try {
      return entries.stream().anyMatch(entry -> entry.slots > 0);
    } finally {
      lock.unlock();
    }
  }

  @GuardedBy("lock")
  private boolean isIdleLocked() {
    return entries.stream()
        .noneMatch(entry -> entry.isDue || (entry.slots > 0 && !entry.queue.isLeased()));
  }

  /**
   * The queues that no slot is about to look into: not due as far as one knows, or worked by slots
   * that may take long with what they have.
   */
  List<HandlerQueue> unwatched() {
    lock.lock();
    try {
      return entries.stream()
          .filter(entry -> !entry.isDue || (entry.slots > 0 && !entry.mayAddSlot))
          .map(entry -> entry.queue)
          .toList();
    } finally {
      lock.unlock();
    }
  }

  /** No slot gets another turn. */
  void stop() {
    lock.lock();
    try {
      isStopping = true;
      changed.signalAll();
    } finally {
      lock.unlock();
    }
  }
}
