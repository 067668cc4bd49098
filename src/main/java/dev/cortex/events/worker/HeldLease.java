package dev.cortex.events.worker;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import dev.cortex.events.delivery.Lease;
import dev.cortex.events.handler.HandlerDefinition.Leased;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A lease that this process holds, and what its handler is told of it. Made by the thread that runs
 * the handler, which is interrupted when the handler is to stop.
 *
 * <p>Whether the lease still runs is judged by this process's monotonic clock, from before the
 * statement was sent that took or renewed it, less a tenth: so the handler hears of a lost lease
 * before the server lets anybody else have the delivery, whatever the clocks say and however long
 * an answer takes. Thread-safe.
 */
final class HeldLease {
  /** How a lease stands with its handler. */
  enum State {
    /** It is renewed, and the handler may go on. */
    HELD,
    /** The worker stops: renewed, and given back when the handler has ended. */
    RECALLED,
    /** The time budget is over: renewed for as long as an end may take, and no longer. */
    OVERRAN,
    /** Nobody's, or somebody else's. */
    LOST
  }

  /** What a handler that was told to stop has to do so: ending a program takes two seconds. */
  private static final Duration ENDING = Duration.ofSeconds(10);

  private static final int MARGIN = 10;
  private static final int RENEWALS = 3;

  private final HandlerQueue queue;
  private final Lease lease;
  private final Thread thread = Thread.currentThread();
  private final ReentrantLock lock = new ReentrantLock();
  private volatile State state = State.HELD;
  private volatile long renewedNanos;
  private volatile long toldNanos;

  /** When the code began whose time counts, had it run without a pause. */
  @GuardedBy("lock")
  private long startedNanos = System.nanoTime();

  /** What the handler has used up of its budget, which its completions do not get again. */
  @GuardedBy("lock")
  private long usedNanos;

  @GuardedBy("lock")
  private boolean isRunning = true;

  /** The transaction of its completions, while they run. */
  @GuardedBy("lock")
  private Optional<Session> completing = Optional.empty();

  /**
   * @param sentNanos {@link System#nanoTime()} before the lease was asked for
   */
  HeldLease(HandlerQueue queue, Lease lease, long sentNanos) {
    this.queue = queue;
    this.lease = lease;
    this.renewedNanos = sentNanos;
  }

  HandlerQueue queue() {
    return queue;
  }

  Lease lease() {
    return lease;
  }

  State state() {
    return state;
  }

  boolean isLost() {
    return state != State.HELD || hasLapsed(System.nanoTime());
  }

  /** Whether somebody else may have the delivery soon, for all that this process knows. */
  boolean hasLapsed(long now) {
    long length = lease.holder().length().toNanos();
    return now - renewedNanos >= length - length / MARGIN;
  }

  boolean wantsRenewal(long now) {
    boolean isWanted =
        switch (state) {
          case HELD, RECALLED -> true;
          case OVERRAN -> now - toldNanos < ENDING.toNanos();
          case LOST -> false;
        };
    return isWanted && now - renewedNanos >= lease.holder().length().toNanos() / RENEWALS;
  }

  void renewed(long sentNanos) {
    renewedNanos = sentNanos;
  }

  /**
   * Tells the handler to stop, if it has not been told so or this is worse. What its completions do
   * in their transaction is undone with that; a worker that stops lets them end.
   */
  boolean tell(State news) {
    lock.lock();
    try {
      if (state == news || state == State.LOST || (state != State.HELD && news != State.LOST)) {
        return false;
      }
      toldNanos = System.nanoTime();
      state = news;
      if (isRunning && (completing.isEmpty() || news != State.RECALLED)) {
        completing.ifPresent(Session::abort);
        thread.interrupt();
      }
      return true;
    } finally {
      lock.unlock();
    }
  }

  /** Tells it that its time is over, if it is. To wait for the database is not the handler's. */
  boolean tellOverrun(long now) {
    lock.lock();
    try {
      return isRunning
          && now - startedNanos >= queue.definition().timeBudget().toNanos()
          && tell(State.OVERRAN);
    } finally {
      lock.unlock();
    }
  }

  /**
   * Its completions run, in this transaction, on the same thread and within the same budget; again,
   * where the database went away under them, within another one.
   *
   * @return false when the budget was used up before they began: nobody would end them
   */
  boolean completes(Session session) {
    lock.lock();
    try {
      if (state == State.OVERRAN) {
        return false;
      }
      startedNanos = System.nanoTime() - usedNanos;
      toldNanos = System.nanoTime(); // of a lease that was lost meanwhile: nothing ran to be ended
      isRunning = true;
      completing = Optional.of(session);
      return true;
    } finally {
      lock.unlock();
    }
  }

  /**
   * The handler, or its completions, have ended: the thread is the engine's again, and is
   * interrupted no more.
   */
  void ended() {
    lock.lock();
    try {
      usedNanos = completing.isEmpty() ? System.nanoTime() - startedNanos : 0;
      isRunning = false;
      completing = Optional.empty();
    } finally {
      lock.unlock();
    }
    Thread.interrupted();
  }

  /** Whether it was told to stop longer ago than an end may take, and its code still runs. */
  boolean isStuck(long now) {
    lock.lock();
    try {
      boolean isTold = state == State.OVERRAN || state == State.LOST;
      return isTold && isRunning && now - toldNanos >= ENDING.toNanos();
    } finally {
      lock.unlock();
    }
  }

  /** Its thread is lost: the connection of its completions is not its any more. */
  void giveUp() {
    lock.lock();
    try {
      completing.ifPresent(Session::giveUp);
    } finally {
      lock.unlock();
    }
  }

  Thread thread() {
    return thread;
  }

  /** What a leased handler has stated of its leases. */
  static Leased terms(HandlerQueue queue) {
    return (Leased) queue.definition().work();
  }
}
