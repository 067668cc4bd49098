package dev.cortex.events.worker;

import dev.cortex.events.delivery.Delivery;
import java.sql.Connection;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/** One of the process's places to run a batch, and what it runs now. Thread-safe. */
final class Slot {

  /**
   * A batch that is being run.
   *
   * @param handlerId whose
   * @param numbers its events
   * @param startedAt by the server's clock
   * @param startedNanos {@link System#nanoTime()}
   * @param connection its transaction
   */
  record Running(
      short handlerId,
      List<Long> numbers,
      Instant startedAt,
      long startedNanos,
      Connection connection) {}

  private final short number;
  private volatile Optional<Running> running = Optional.empty();

  Slot(short number) {
    this.number = number;
  }

  short number() {
    return number;
  }

  void begin(short handlerId, List<Delivery> deliveries, Connection connection) {
    running =
        Optional.of(
            new Running(
                handlerId,
                deliveries.stream().map(Delivery::number).toList(),
                deliveries.get(0).lockedAt(),
                System.nanoTime(),
                connection));
  }

  void end() {
    running = Optional.empty();
  }

  Optional<Running> running() {
    return running;
  }
}
