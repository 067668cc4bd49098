package dev.cortex.events.worker;

import dev.cortex.events.telemetry.EngineEvent;
import dev.cortex.events.telemetry.Telemetry;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import javax.sql.DataSource;

/**
 * What a worker does from the side: shows the batches that run for a while, buries workers that
 * have vanished, ends transactions that overrun by far, passes on what operators cancel, moves the
 * deliveries of paused types, and makes the partitions of the coming months. Confined to its loop's
 * thread.
 */
final class HousekeepingStep implements Loop.Step {
  private static final Duration INTERVAL = Duration.ofMillis(100);

  /** Shorter batches are not shown, so that the slots' rows never grow hot. */
  private static final Duration SHOWN_AFTER = Duration.ofMillis(100);

  private static final Duration ROUND_INTERVAL = Duration.ofMillis(500);
  private static final Duration PARTITION_INTERVAL = Duration.ofHours(6);

  /** Partitions are made ahead, so whoever is in the way may stay there for a while. */
  private static final Duration PARTITION_RETRY_INTERVAL = Duration.ofMinutes(1);

  private final DataSource pool;
  private final WorkerStore store;
  private final HouseStore house;
  private final List<Slot> slots;
  private final Caution caution;
  private final Telemetry telemetry;
  private final int workerId;
  private final Runnable onBackfills;
  private long nextRound = System.nanoTime();
  private long nextPartitions = System.nanoTime();

  HousekeepingStep(
      DataSource pool,
      WorkerStore store,
      HouseStore house,
      List<Slot> slots,
      Caution caution,
      Telemetry telemetry,
      int workerId,
      Runnable onBackfills) {
    this.pool = pool;
    this.store = store;
    this.house = house;
    this.slots = slots;
    this.caution = caution;
    this.telemetry = telemetry;
    this.workerId = workerId;
    this.onBackfills = onBackfills;
  }

  @Override
  public Duration take() throws SQLException {
    long now = System.nanoTime();
    if (hasNews(now) || now - nextRound >= 0) {
      try (Connection connection = pool.getConnection()) {
        showSlots(connection, now);
        if (now - nextRound >= 0) {
          boolean hasMore = keepHouse(connection);
          nextRound = now + (hasMore ? INTERVAL : ROUND_INTERVAL).toNanos();
        }
        if (now - nextPartitions >= 0) {
          nextPartitions = now + PARTITION_RETRY_INTERVAL.toNanos();
          createPartitions(connection);
          nextPartitions = now + PARTITION_INTERVAL.toNanos();
        }
      }
    }
    return INTERVAL;
  }

  private boolean hasNews(long now) {
    return slots.stream()
        .anyMatch(slot -> slot.isToBeShown(slot.running().filter(running -> isLong(running, now))));
  }

  private void showSlots(Connection connection, long now) throws SQLException {
    for (Slot slot : slots) {
      slot.show(
          running -> caution.isOn() || isLong(running, now),
          (number, running) -> store.showSlot(connection, workerId, number, running));
    }
  }

  private static boolean isLong(Slot.Running running, long now) {
    return now - running.startedNanos() >= SHOWN_AFTER.toNanos();
  }

  /** True when it is worth to go on at once. */
  private boolean keepHouse(Connection connection) throws SQLException {
    HouseStore.Chores chores = house.keepHouse(connection, workerId);
    chores
        .vanished()
        .forEach(vanished -> telemetry.record(new EngineEvent.WorkerVanished(vanished)));
    caution.set(chores.isCautious());
    if (chores.hasOverruns()) {
      endOverruns(connection);
    }
    if (chores.hasCancelRequests()) {
      serveCancelRequests(connection);
    }
    if (chores.hasBackfills()) {
      onBackfills.run();
    }
    return chores.isMoving() && house.moveHeld(connection);
  }

  /** Of other workers too: their own watchdogs have had the time once over. */
  private void endOverruns(Connection connection) throws SQLException {
    for (String handler : house.endOverruns(connection)) {
      telemetry.record(new EngineEvent.TransactionEnded(handler));
    }
  }

  /** What this process runs is told, and ends cancelled at the end of its run. */
  private void serveCancelRequests(Connection connection) throws SQLException {
    for (HouseStore.CancelRequest request : house.serveCancelRequests(connection)) {
      for (Slot slot : slots) {
        slot.running().ifPresent(running -> tell(running, request));
      }
    }
  }

  private static void tell(Slot.Running running, HouseStore.CancelRequest request) {
    running.deliveries().stream()
        .filter(request::isFor)
        .forEach(delivery -> running.session().cancel(delivery, request.reason()));
  }

  private void createPartitions(Connection connection) throws SQLException {
    int made = house.createPartitions(connection);
    if (made > 0) {
      telemetry.record(new EngineEvent.PartitionsMade(made));
    }
  }
}
