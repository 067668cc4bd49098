package dev.cortex.events.worker;

import dev.cortex.events.delivery.Delivery;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/** One of the process's places to run a batch, and what it runs now. Thread-safe. */
final class Slot {

  /**
   * A batch that is being run.
   *
   * @param queue whose
   * @param deliveries what it holds, at least one
   * @param startedNanos {@link System#nanoTime()}
   * @param connection its transaction
   */
  record Running(
      HandlerQueue queue, List<Delivery> deliveries, long startedNanos, Connection connection) {

    List<Long> numbers() {
      return deliveries.stream().map(Delivery::number).toList();
    }

    /** By the server's clock. */
    Instant startedAt() {
      return deliveries.get(0).lockedAt();
    }

    /** Cuts the connection: the server rolls back, and what was held is free. */
    void abort() {
      try {
        connection.abort(Runnable::run);
      } catch (SQLException e) {
        // It is gone already, and what it held is free.
      }
    }

    boolean overruns(long now) {
      return now - startedNanos > queue.definition().timeBudget().toNanos();
    }
  }

  private final short number;
  private volatile Optional<Running> running = Optional.empty();

  Slot(short number) {
    this.number = number;
  }

  short number() {
    return number;
  }

  void begin(HandlerQueue queue, List<Delivery> deliveries, Connection connection) {
    running = Optional.of(new Running(queue, deliveries, System.nanoTime(), connection));
  }

  void end() {
    running = Optional.empty();
  }

  Optional<Running> running() {
    return running;
  }
}
