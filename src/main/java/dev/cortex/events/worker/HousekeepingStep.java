package dev.cortex.events.worker;

import dev.cortex.events.telemetry.EngineEvent;
import dev.cortex.events.telemetry.Telemetry;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import javax.sql.DataSource;

/**
 * What a worker does from the side: shows the batches that run for a while, buries workers that
 * have vanished, moves the deliveries of paused types, and makes the partitions of the coming
 * months. Confined to its loop's thread.
 */
final class HousekeepingStep implements Loop.Step {
  private static final Duration INTERVAL = Duration.ofMillis(100);

  /** Shorter batches are not shown, so that the slots' rows never grow hot. */
  private static final Duration SHOWN_AFTER = Duration.ofMillis(100);

  private static final Duration ROUND_INTERVAL = Duration.ofMillis(500);
  private static final Duration PARTITION_INTERVAL = Duration.ofHours(6);

  private final DataSource pool;
  private final WorkerStore store;
  private final List<Slot> slots;
  private final Telemetry telemetry;
  private final int workerId;
  private final Map<Short, Slot.Running> shown = new HashMap<>();
  private long nextRound = System.nanoTime();
  private long nextPartitions = System.nanoTime();

  HousekeepingStep(
      DataSource pool, WorkerStore store, List<Slot> slots, Telemetry telemetry, int workerId) {
    this.pool = pool;
    this.store = store;
    this.slots = slots;
    this.telemetry = telemetry;
    this.workerId = workerId;
  }

  @Override
  public Duration take() throws SQLException {
    long now = System.nanoTime();
    if (hasNews(now) || now - nextRound >= 0) {
      try (Connection connection = pool.getConnection()) {
        showSlots(connection, now);
        if (now - nextRound >= 0) {
          buryVanished(connection);
          boolean hasMore = store.moveHeld(connection);
          nextRound = now + (hasMore ? INTERVAL : ROUND_INTERVAL).toNanos();
        }
        if (now - nextPartitions >= 0) {
          createPartitions(connection);
          nextPartitions = now + PARTITION_INTERVAL.toNanos();
        }
      }
    }
    return INTERVAL;
  }

  private boolean hasNews(long now) {
    return slots.stream()
        .anyMatch(slot -> !toShow(slot, now).equals(Optional.ofNullable(shown.get(slot.number()))));
  }

  private void showSlots(Connection connection, long now) throws SQLException {
    for (Slot slot : slots) {
      Optional<Slot.Running> running = toShow(slot, now);
      if (running.equals(Optional.ofNullable(shown.get(slot.number())))) {
        continue;
      }
      if (running.isPresent()) {
        store.showSlot(connection, workerId, slot.number(), running.get());
        shown.put(slot.number(), running.get());
      } else {
        store.clearSlot(connection, workerId, slot.number());
        shown.remove(slot.number());
      }
    }
  }

  private static Optional<Slot.Running> toShow(Slot slot, long now) {
    return slot.running().filter(running -> now - running.startedNanos() >= SHOWN_AFTER.toNanos());
  }

  private void buryVanished(Connection connection) throws SQLException {
    for (int vanished : store.buryVanished(connection, workerId)) {
      telemetry.record(new EngineEvent.WorkerVanished(vanished));
    }
  }

  private void createPartitions(Connection connection) throws SQLException {
    int made = store.createPartitions(connection);
    if (made > 0) {
      telemetry.record(new EngineEvent.PartitionsMade(made));
    }
  }
}
