package dev.cortex.events.worker;

import dev.cortex.events.delivery.ClaimWindow;
import dev.cortex.events.delivery.LeaseEnd;
import dev.cortex.events.delivery.LeaseStore;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.Collection;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Queue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.ThreadLocalRandom;
import java.util.function.Function;
import java.util.stream.Collectors;

/**
 * Knows when leases end, whoever holds them, and has what was lost leased ahead of what else is
 * queued: a lost lease lies behind everything that was due before its end. Looks when the first
 * lease is to end and not more often, since leases that are renewed move on; each worker a little
 * later than that, so that not all of them ask for the same.
 *
 * <p>{@link #look} is of one thread; {@link #next} is of any.
 */
final class RescueClock {
  private static final Duration LONGEST_INTERVAL = Duration.ofSeconds(1);
  private static final int LATEST_MILLIS = 200;

  /** Looking may take 1/50 of the time at most. */
  private static final int COST_FACTOR = 50;

  private final LeaseStore store;
  private final Dispatcher dispatcher;
  private final Map<Short, HandlerQueue> queues;
  private final int places;
  private final Map<Short, Queue<ClaimWindow>> lost = new ConcurrentHashMap<>();
  private volatile long nextLook = System.nanoTime();

  /**
   * @param queues those of leased handlers
   * @param places how many leases the process may hold: it looks for no more lost ones at a time
   */
  RescueClock(
      LeaseStore store, Dispatcher dispatcher, Collection<HandlerQueue> queues, int places) {
    this.store = store;
    this.dispatcher = dispatcher;
    this.queues =
        queues.stream().collect(Collectors.toMap(HandlerQueue::handlerId, Function.identity()));
    this.places = places;
  }

  /** Looks for lost leases, if it is time to. */
  void look(Connection autoCommit) throws SQLException {
    long now = System.nanoTime();
    if (queues.isEmpty() || now - nextLook < 0) {
      return;
    }
    List<LeaseEnd> ends = store.ends(autoCommit, queues.keySet(), places);
    long cost = System.nanoTime() - now;
    long rest =
        ends.stream()
            .filter(end -> !end.isLost())
            .mapToLong(end -> end.left().toNanos() + later())
            .reduce(LONGEST_INTERVAL.toNanos(), Math::min);
    nextLook = now + Math.max(rest, cost * COST_FACTOR);
    queues.forEach((id, queue) -> take(queue, ends));
  }

  private static long later() {
    return Duration.ofMillis(ThreadLocalRandom.current().nextInt(LATEST_MILLIS)).toNanos();
  }

  /** What an earlier look found is somebody's by now, or found again. */
  private void take(HandlerQueue queue, List<LeaseEnd> ends) {
    Queue<ClaimWindow> windows =
        ends.stream()
            .filter(end -> end.handlerId() == queue.handlerId() && end.isLost())
            .map(LeaseEnd::window)
            .collect(Collectors.toCollection(ConcurrentLinkedQueue::new));
    boolean isAny = !windows.isEmpty();
    lost.put(queue.handlerId(), windows);
    if (isAny) {
      dispatcher.wake(queue);
    }
  }

  /** Where a delivery lies that has lost its lease, to be given to one caller only. */
  Optional<ClaimWindow> next(HandlerQueue queue) {
    Queue<ClaimWindow> windows = lost.get(queue.handlerId());
    if (windows == null || windows.isEmpty()) {
      return Optional.empty();
    }
    Optional<ClaimWindow> window = Optional.ofNullable(windows.poll());
    if (windows.isEmpty()) {
      // There may be more than were looked for.
      nextLook = System.nanoTime();
    }
    return window;
  }
}
