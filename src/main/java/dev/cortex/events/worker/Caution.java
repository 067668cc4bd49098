package dev.cortex.events.worker;

import dev.cortex.events.delivery.Delivery;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;
import java.util.Map;
import java.util.concurrent.locks.Lock;
import java.util.concurrent.locks.ReadWriteLock;
import java.util.concurrent.locks.ReentrantReadWriteLock;
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
  private final DataSource pool;
  private final WorkerStore store;
  private final int workerId;

  /** Batches share it; a suspect has it for itself. Fair, so that its turn comes. */
  private final ReadWriteLock process = new ReentrantReadWriteLock(true);

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
            queue.strikes().killed(delivery);
          }
        });
    return List.copyOf(suspects.keySet());
  }

  /** Runs a batch beside those of other slots. */
  void beside(Work work) throws SQLException, InterruptedException {
    if (isOn) {
      run(process.readLock(), work);
    } else {
      work.run();
    }
  }

  /** Runs a suspect, begun by the slot and shown, with nothing beside it. */
  void alone(Slot slot, Runnable begin, Work work) throws SQLException, InterruptedException {
    run(
        process.writeLock(),
        () -> {
          begin.run();
          try (Connection connection = pool.getConnection()) {
            store.clearOtherSlots(connection, workerId, slot.number());
            show(slot, connection);
          }
          work.run();
        });
  }

  private static void run(Lock turn, Work work) throws SQLException, InterruptedException {
    turn.lockInterruptibly();
    try {
      work.run();
    } finally {
      turn.unlock();
    }
  }

  /** Shows what the slot is about to run. */
  void show(Slot slot) throws SQLException {
    if (isOn) {
      try (Connection connection = pool.getConnection()) {
        show(slot, connection);
      }
    }
  }

  private void show(Slot slot, Connection connection) throws SQLException {
    slot.show(
        running -> true,
        (number, running) -> store.showSlot(connection, workerId, number, running));
  }

  /** The delivery has been charged for its deaths so far. It is run alone all the same. */
  void acquit(Connection transaction, Delivery delivery) throws SQLException {
    store.acquit(transaction, delivery);
  }
}
