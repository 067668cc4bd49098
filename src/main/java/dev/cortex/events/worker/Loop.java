package dev.cortex.events.worker;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import dev.cortex.events.database.DatabaseFault;
import dev.cortex.events.telemetry.EngineEvent;
import dev.cortex.events.telemetry.Telemetry;
import java.sql.SQLException;
import java.time.Duration;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;

/**
 * A named thread that takes one step after another until it is stopped, resting between them for as
 * long as the step says or until it is woken. Every thread of a worker is one.
 *
 * <p>A step may fail in any way; the loop goes on for ever, with a delay that doubles from 50 ms to
 * 5 s, with jitter, for as long as it fails. What the database is at fault for is told once when it
 * begins and once when it ends.
 */
final class Loop {
  private static final Duration FIRST_DELAY = Duration.ofMillis(50);
  private static final int MAX_DOUBLINGS = 7;
  private static final Duration LONGEST_DELAY = Duration.ofSeconds(5);

  /** One round of work. */
  @FunctionalInterface
  interface Step {
    /** Takes one step and returns how long to rest. */
    Duration take() throws Exception;

    /** Whether the last step left what the next one has to bring to an end, even when it stops. */
    default boolean isUnfinished() {
      return false;
    }
  }

  private final String part;
  private final Step step;
  private final Telemetry telemetry;
  private final Thread thread;
  private final ReentrantLock lock = new ReentrantLock();
  private final Condition signal = lock.newCondition();

  @GuardedBy("lock")
  private boolean isWoken;

  private volatile boolean isStopping;
  private volatile boolean isGivenUp;

  /** Confined to the loop's thread. */
  private int failures;

  /** Whether it was told that the database is lost. Confined to the loop's thread. */
  private boolean isToldLost;

  Loop(String part, Step step, Telemetry telemetry) {
    this.part = part;
    this.step = step;
    this.telemetry = telemetry;
    this.thread = new Thread(this::run, "cortex-" + part);
    thread.setDaemon(true);
  }

  void start() {
    thread.start();
  }

  /** Ends the rest that the loop is in, or its next one. */
  void wake() {
    lock.lock();
    try {
      isWoken = true;
      signal.signalAll();
    } finally {
      lock.unlock();
    }
  }

  /** Lets the step in progress be the last, unless it leaves something unfinished. */
  void stop() {
    isStopping = true;
    wake();
  }

  /** Lets the step in progress be the last, whatever it leaves. */
  void giveUp() {
    isGivenUp = true;
    stop();
  }

  /** Lets the step in progress be the last, and ends what it waits for. */
  void interrupt() {
    giveUp();
    thread.interrupt();
  }

  boolean isOf(Thread other) {
    return thread == other;
  }

  /** Waits until the thread has ended; false when the time is up. */
  boolean awaitEnd(Duration patience) throws InterruptedException {
    thread.join(Math.max(1, patience.toMillis()));
    return !thread.isAlive();
  }

  private void run() {
    while (goesOn()) {
      rest(takeStep());
    }
  }

  private boolean goesOn() {
    return !isStopping || (!isGivenUp && step.isUnfinished());
  }

  private Duration takeStep() {
    try {
      Duration rest = step.take();
      succeeded();
      return rest;
    } catch (InterruptedException e) {
      // Of a stop, which the loop sees, or left behind by a handler, which ends nothing.
      return Duration.ZERO;
    } catch (Throwable e) {
      // An error too: out of memory for one batch, or a class that is not there, ends no worker.
      return failed(e);
    }
  }

  private void succeeded() {
    failures = 0;
    if (isToldLost) {
      isToldLost = false;
      telemetry.record(new EngineEvent.DatabaseBack(part));
    }
  }

  private Duration failed(Throwable error) {
    if (!goesOn()) {
      return Duration.ZERO;
    }
    if (DatabaseFault.of(error).filter(DatabaseFault::isAbsence).isEmpty()) {
      telemetry.record(new EngineEvent.PartFailed(part, error));
    } else if (!isToldLost) {
      isToldLost = true;
      telemetry.record(new EngineEvent.DatabaseLost(part, sqlState(error)));
    }
    double factor = Math.pow(2, Math.min(failures, MAX_DOUBLINGS));
    failures++;
    double millis = Math.min((double) LONGEST_DELAY.toMillis(), FIRST_DELAY.toMillis() * factor);
    return Duration.ofMillis(
        Math.round(millis * (0.5 + ThreadLocalRandom.current().nextDouble() / 2)));
  }

  private static String sqlState(Throwable error) {
    return DatabaseFault.find(error).map(SQLException::getSQLState).orElse("none");
  }

  private void rest(Duration duration) {
    lock.lock();
    try {
      long left = duration.toNanos();
      while (!isWoken && goesOn() && left > 0) {
        left = signal.awaitNanos(left);
      }
      isWoken = false;
    } catch (InterruptedException e) {
      // As above: only a stop ends the loop.
    } finally {
      lock.unlock();
    }
  }
}
