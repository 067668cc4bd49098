package dev.cortex.events.worker;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import dev.cortex.events.delivery.Delivery;
import java.sql.SQLException;
import java.time.Instant;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.Predicate;
import org.postgresql.PGConnection;

/** One of the process's places to run a batch, and what it runs now. Thread-safe. */
final class Slot {

  /**
   * A batch that is being run.
   *
   * @param queue whose
   * @param deliveries what it holds, at least one
   * @param startedNanos {@link System#nanoTime()}
   * @param session its transaction
   * @param thread what runs it
   */
  record Running(
      HandlerQueue queue,
      List<Delivery> deliveries,
      long startedNanos,
      Session session,
      Thread thread) {

    List<Long> numbers() {
      return deliveries.stream().map(Delivery::number).toList();
    }

    /** By the server's clock. */
    Instant startedAt() {
      return deliveries.get(0).lockedAt();
    }

    /** Which session of the server's it is; none where the driver does not say. */
    Optional<Integer> pid() {
      try {
        return Optional.of(session.connection().unwrap(PGConnection.class).getBackendPID());
      } catch (SQLException e) {
        return Optional.empty();
      }
    }

    /** Cuts the connection: the server rolls back, and what was held is free. */
    void abort() {
      session.abort();
    }

    boolean overruns(long now) {
      return now - startedNanos > queue.definition().timeBudget().toNanos();
    }
  }

  private final short number;
  private final ReentrantLock showing = new ReentrantLock();
  private volatile Optional<Running> running = Optional.empty();
  private final Collection<Hold> holds = new ConcurrentLinkedDeque<>();
  private volatile boolean isGivenUp;

  @GuardedBy("showing")
  private Optional<Running> shown = Optional.empty();

  Slot(short number) {
    this.number = number;
  }

  short number() {
    return number;
  }

  void begin(HandlerQueue queue, List<Delivery> deliveries, Session session) {
    if (!isGivenUp) {
      running =
          Optional.of(
              new Running(queue, deliveries, System.nanoTime(), session, Thread.currentThread()));
    }
  }

  void end() {
    running = Optional.empty();
  }

  /** Notes what its thread has taken and closes when it is done with it. */
  Hold hold(Runnable giveBack) {
    Hold hold = new Hold(giveBack);
    holds.removeIf(before -> !before.isHeld());
    holds.add(hold);
    if (isGivenUp) {
      hold.close();
    }
    return hold;
  }

  /**
   * Its thread is lost: whatever that still does is shown no more, its connection is not its, and
   * what it holds is given back.
   */
  void giveUp() {
    isGivenUp = true;
    running.ifPresent(lost -> lost.session().giveUp());
    end();
    holds.forEach(Hold::close);
  }

  Optional<Running> running() {
    return running;
  }

  /** Whether what it runs was cut by others, on whatever connection. */
  boolean isAborted() {
    return running.map(now -> now.session().isAborted()).orElse(false);
  }

  /** Whether the database shows something else than what it should. */
  boolean isToBeShown(Optional<Running> wanted) {
    showing.lock();
    try {
      return !wanted.equals(shown);
    } finally {
      showing.unlock();
    }
  }

  /** Makes the database show what the slot runs now, if that is wanted by now. */
  void show(Predicate<Running> isWanted, Board board) throws SQLException {
    showing.lock();
    try {
      Optional<Running> wanted = running.filter(isWanted);
      if (!wanted.equals(shown) && board.show(number, wanted)) {
        shown = wanted;
      }
    } finally {
      showing.unlock();
    }
  }

  /** Where it is shown. */
  @FunctionalInterface
  interface Board {
    /** Shows what a slot runs, or that it runs nothing; false if it can't for now. */
    boolean show(short slot, Optional<Running> running) throws SQLException;
  }
}
