package dev.cortex.events.worker;

import dev.cortex.events.delivery.Lease;
import dev.cortex.events.delivery.LeaseStore;
import dev.cortex.events.telemetry.EngineEvent;
import dev.cortex.events.telemetry.Telemetry;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import javax.sql.DataSource;

/**
 * Keeps the leases of this process: one loop renews them, all in one statement; another one, which
 * waits for nothing and nobody, tells handlers that their lease has lapsed or their time is over.
 * Two, because whoever renews may itself hang on a cut network just when there is something to
 * tell.
 *
 * <p>Thread-safe; {@link #renew} and {@link #watch} are each of their loop's thread.
 */
final class LeaseKeeper {
  private static final Duration WATCH_INTERVAL = Duration.ofMillis(50);
  private static final Duration LONGEST_INTERVAL = Duration.ofSeconds(1);

  /** A renewal is looked for this often in the length of the shortest lease. */
  private static final int LOOKS = 20;

  private final DataSource pool;
  private final LeaseStore store;
  private final Telemetry telemetry;
  private final int workerId;
  private final Duration shortestLease;
  private final Consumer<HeldLease> whenStuck;
  private final Set<HeldLease> leases = ConcurrentHashMap.newKeySet();

  /**
   * @param queues those of leased handlers
   * @param whenStuck told of a lease whose thread does not come back
   */
  LeaseKeeper(
      DataSource pool,
      LeaseStore store,
      Telemetry telemetry,
      int workerId,
      Collection<HandlerQueue> queues,
      Consumer<HeldLease> whenStuck) {
    this.pool = pool;
    this.store = store;
    this.telemetry = telemetry;
    this.workerId = workerId;
    this.whenStuck = whenStuck;
    this.shortestLease =
        queues.stream()
            .map(queue -> HeldLease.terms(queue).lease())
            .min(Duration::compareTo)
            .orElse(LONGEST_INTERVAL);
  }

  /** Keeps a lease until {@link #end}. */
  void begin(HeldLease lease) {
    leases.add(lease);
  }

  void end(HeldLease lease) {
    leases.remove(lease);
  }

  boolean isIdle() {
    return leases.isEmpty();
  }

  /** Renews what has run for a third of its length. */
  Duration renew() throws SQLException {
    List<HeldLease> due = due(System.nanoTime());
    if (!due.isEmpty()) {
      try (Connection connection = pool.getConnection()) {
        // Past that, the answer comes too late to be of use, and the next try wants to begin.
        connection.setNetworkTimeout(
            Runnable::run, Math.toIntExact(Math.max(500, shortestLease.toMillis() / 3)));
        renew(connection, due);
      }
    }
    Duration interval = shortestLease.dividedBy(LOOKS);
    return interval.compareTo(LONGEST_INTERVAL) < 0 ? interval : LONGEST_INTERVAL;
  }

  private List<HeldLease> due(long now) {
    return leases.stream().filter(lease -> lease.wantsRenewal(now)).toList();
  }

  private void renew(Connection connection, List<HeldLease> due) throws SQLException {
    long sent = System.nanoTime();
    List<Lease.Renewal> answers =
        store.renew(connection, workerId, due.stream().map(HeldLease::lease).toList());
    for (int i = 0; i < due.size(); i++) {
      switch (answers.get(i)) {
        case RENEWED -> due.get(i).renewed(sent);
        case GONE -> lost(due.get(i), "gone");
        case LOCKED -> {
          // Left as it was: its time goes on, and the next look tries again.
        }
      }
    }
  }

  /** Tells the handlers whose time has come. Touches nothing that could keep it waiting. */
  Duration watch() {
    long now = System.nanoTime();
    for (HeldLease lease : leases) {
      if (lease.isStuck(now)) {
        end(lease);
        lease.giveUp();
        whenStuck.accept(lease);
      } else if (lease.hasLapsed(now)) {
        lost(lease, "lapsed");
      } else if (lease.tellOverrun(now)) {
        HandlerQueue queue = lease.queue();
        telemetry.record(
            new EngineEvent.BatchOverran(queue.name(), queue.definition().work().mode(), 1));
      }
    }
    return WATCH_INTERVAL;
  }

  /** What has been acknowledged or cancelled by its own handler meanwhile is not kept any more. */
  private void lost(HeldLease lease, String reason) {
    if (leases.contains(lease) && lease.tell(HeldLease.State.LOST)) {
      telemetry.record(
          new EngineEvent.LeaseLost(
              lease.queue().name(),
              lease.lease().delivery().event().map(event -> event.id()).orElse("gone"),
              lease.lease().heldFence(),
              reason));
    }
  }

  /** Asks all handlers to end, so that what they hold can be given back. */
  void recall() {
    leases.forEach(lease -> lease.tell(HeldLease.State.RECALLED));
  }

  /**
   * Gives back what handlers hold that do not end, at the end of the worker, each by itself: what
   * is just being recorded keeps none of the others.
   *
   * @param patience how long one answer may take: what is not given back runs out
   */
  void giveBackRest(Duration patience) throws SQLException {
    if (isIdle()) {
      return;
    }
    try (Connection connection = pool.getConnection()) {
      connection.setNetworkTimeout(Runnable::run, Math.toIntExact(patience.toMillis()));
      for (HeldLease lease : leases) {
        store.giveBackIfFree(connection, lease.lease());
        store.wakeIfAsleep(connection, lease.queue().handlerId());
      }
    }
  }
}
