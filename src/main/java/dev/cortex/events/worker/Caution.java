package dev.cortex.events.worker;

import dev.cortex.events.delivery.Delivery;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import javax.sql.DataSource;

/**
 * What is done for a while after a process has died, so that an event that kills whoever runs it is
 * found, charged and in the end dead: every batch is shown in the database before it is run, and
 * what was shown when a process died is run alone, with nothing beside it in the whole process. A
 * death in company makes suspects; a death alone costs the delivery an attempt.
 *
 * <p>Thread-safe.
 */
final class Caution {
  /** More than there are slots. */
  private static final int WHOLE_PROCESS = 1 << 20;

  private final DataSource pool;
  private final WorkerStore store;
  private final int workerId;

  /**
   * A permit for each batch beside others, all of them for a suspect. Fair, so that its turn comes;
   * and no thread owns it, since a thread may be lost in what it runs.
   */
  private final Semaphore process = new Semaphore(WHOLE_PROCESS, true);

  private volatile boolean isOn;

  /** Something to be run. */
  @FunctionalInterface
  interface Work {
    void run() throws SQLException;
  }

  Caution(DataSource pool, WorkerStore store, int workerId, boolean isOn) {
    this.pool = pool;
    this.store = store;
    this.workerId = workerId;
    this.isOn = isOn;
  }

  boolean isOn() {
    return isOn;
  }

  void set(boolean isOn) {
    this.isOn = isOn;
  }

  /** Those of a claim that are to be run alone; their deaths so far are made known to the queue. */
  List<Delivery> suspects(Connection transaction, HandlerQueue queue, List<Delivery> claimed)
      throws SQLException {
    if (!isOn) {
      return List.of();
    }
    Map<Delivery, Integer> suspects = store.suspects(transaction, claimed);
    suspects.forEach(
        (delivery, deaths) -> {
          if (deaths > 0) {
            queue.strikes().add(delivery, Strikes.Charge.PROCESS_DIED);
          }
        });
    return List.copyOf(suspects.keySet());
  }

  /**
   * Runs a batch beside those of other slots, unless a suspect runs, or waits to.
   *
   * @return false when it has not run, and should let go of what it has claimed, which it would
   *     hold for as long as the suspect takes
   */
  boolean beside(Slot slot, Work work) throws SQLException, InterruptedException {
    if (!isOn) {
      work.run();
      return true;
    }
    // The one without a time does not ask whether somebody waits.
    if (!process.tryAcquire(0, TimeUnit.SECONDS)) {
      return false;
    }
    run(slot, 1, work);
    return true;
  }

  /** Waits until no suspect runs, nor waits to. */
  void awaitNobodyAlone() throws InterruptedException {
    process.acquire();
    process.release();
  }

  /** Runs a suspect with nothing beside it, in the database's eyes too. */
  void alone(Slot slot, Work work) throws SQLException, InterruptedException {
    process.acquire(WHOLE_PROCESS);
    run(
        slot,
        WHOLE_PROCESS,
        () -> {
          try (Connection connection = pool.getConnection()) {
            store.clearOtherSlots(connection, workerId, slot.number());
          }
          work.run();
        });
  }

  /** With permits that it has taken, which go with the work, or with the slot's thread. */
  private void run(Slot slot, int permits, Work work) throws SQLException {
    Hold hold = slot.hold(() -> process.release(permits));
    try {
      work.run();
    } finally {
      hold.close();
    }
  }

  /** Shows what the slot is about to run. */
  void show(Slot slot) throws SQLException {
    if (isOn) {
      try (Connection connection = pool.getConnection()) {
        slot.show(
            running -> true,
            (number, running) -> store.showSlot(connection, workerId, number, running));
      }
    }
  }

  /** The delivery has been charged for its deaths so far. It is run alone all the same. */
  void acquit(Connection transaction, Delivery delivery) throws SQLException {
    store.acquit(transaction, delivery);
  }
}
