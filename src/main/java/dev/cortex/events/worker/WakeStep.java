package dev.cortex.events.worker;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import dev.cortex.events.delivery.ClaimWindow;
import dev.cortex.events.delivery.DeliveryStore;
import dev.cortex.events.delivery.DueHandler;
import dev.cortex.events.delivery.EmitterHorizon;
import dev.cortex.events.delivery.LaneProbe;
import dev.cortex.events.delivery.LaneStore;
import dev.cortex.events.delivery.Lanes;
import dev.cortex.events.delivery.WakeUp;
import dev.cortex.events.telemetry.EngineEvent;
import dev.cortex.events.telemetry.Telemetry;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.Collection;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.locks.Condition;
import java.util.concurrent.locks.ReentrantLock;
import java.util.function.BooleanSupplier;
import javax.sql.DataSource;
import org.jspecify.annotations.Nullable;

/**
 * Keeps the dispatcher told of which queues are due: polls while slots work, and rests by the
 * wake-up protocol when nothing is due. Owns the worker's listening session, which also proves that
 * it lives.
 *
 * <p>Confined to its loop's thread, {@link #awaitDrained}, {@link #stop} and {@link #abandon}
 * aside.
 */
final class WakeStep implements Loop.Step {
  /** Between two looks at the queues that are not due, while others are worked. */
  private static final Duration POLL_INTERVAL = Duration.ofMillis(10);

  private static final Duration LONGEST_POLL_INTERVAL = Duration.ofMillis(100);

  /** What a sleeper looks after by itself, so that a lost signal costs no more than this. */
  private static final Duration FALLBACK_INTERVAL = Duration.ofSeconds(1);

  /**
   * A look may take this share of the time at most: 1/20 while polling, 1/50 asleep, and half of it
   * when something is known to become due.
   */
  private static final int POLL_COST_FACTOR = 20;

  private static final int FALLBACK_COST_FACTOR = 50;

  /**
   * A look from the beginning of the queues that takes longer walks over dead rows that nobody can
   * clean up. It is taken a fiftieth of the time at most, and in between one from the marks on:
   * nobody hears signals meanwhile.
   */
  private static final Duration CHEAP_LOOK = Duration.ofMillis(5);

  /** How soon a sleeper sees that its process stops. Costs no query. */
  private static final Duration SLEEP_SLICE = Duration.ofMillis(100);

  private static final Duration SELF_TEST_PATIENCE = Duration.ofSeconds(2);

  private static final Duration PROOF_INTERVAL = Duration.ofSeconds(1);

  private final DataSource sessions;
  private final DeliveryStore store;
  private final LaneStore laneStore = new LaneStore();
  private final EmitterHorizon horizon;
  private final WorkerStore workers;
  private final Dispatcher dispatcher;
  private final RescueClock rescues;
  private final List<HandlerQueue> queues;
  private final Telemetry telemetry;
  private final int workerId;
  private final BooleanSupplier isWorking;
  private final ReentrantLock drainedLock = new ReentrantLock();
  private final Condition isDrained = drainedLock.newCondition();

  /** When the newest look began that found nothing while no slot was at work. */
  @GuardedBy("drainedLock")
  private long drainedAt = System.nanoTime() - 1;

  private volatile boolean isLookWanted;
  private volatile @Nullable Connection session;
  private @Nullable WakeUp wakeUp;
  private boolean hearsSignals;
  private boolean isHolding;
  private boolean isProven;
  private boolean wasLost;
  private long nextProof = System.nanoTime();
  private volatile boolean isStopping;
  private Duration pollInterval = POLL_INTERVAL;
  private Duration lookCost = Duration.ZERO;
  private long nextFullLook = System.nanoTime();
  private Optional<Duration> nextDue = Optional.empty();

  /**
   * @param isWorking whether anything runs that keeps nobody from resting: leased deliveries
   */
  WakeStep(
      DataSource sessions,
      DeliveryStore store,
      EmitterHorizon horizon,
      WorkerStore workers,
      Dispatcher dispatcher,
      RescueClock rescues,
      List<HandlerQueue> queues,
      Telemetry telemetry,
      int workerId,
      Connection firstSession,
      BooleanSupplier isWorking) {
    this.sessions = sessions;
    this.store = store;
    this.horizon = horizon;
    this.workers = workers;
    this.dispatcher = dispatcher;
    this.rescues = rescues;
    this.queues = queues;
    this.telemetry = telemetry;
    this.workerId = workerId;
    this.session = firstSession;
    this.isWorking = isWorking;
  }

  /**
   * Waits for a look that begins from now on and finds that no delivery can be claimed, with
   * nothing at work. False when the time is up.
   */
  boolean awaitDrained(Duration patience) throws InterruptedException {
    long called = System.nanoTime();
    long left = patience.toNanos();
    drainedLock.lockInterruptibly();
    try {
      while (drainedAt - called < 0) {
        if (left <= 0) {
          return false;
        }
        isLookWanted = true;
        left = isDrained.awaitNanos(left);
      }
      return true;
    } finally {
      drainedLock.unlock();
    }
  }

  private void drained(long lookBegan) {
    drainedLock.lock();
    try {
      drainedAt = lookBegan;
      isDrained.signalAll();
    } finally {
      drainedLock.unlock();
    }
  }

  @Override
  public Duration take() throws SQLException {
    try {
      Connection open = session();
      return dispatcher.isIdle() ? restOrLook(open) : poll(open);
    } catch (SQLException | RuntimeException e) {
      loseSession();
      throw e;
    }
  }

  /** Tells the step to end a sleep that it is in. */
  void stop() {
    isStopping = true;
  }

  /** Leaves the session as it was found and gives it back, at the end of the worker. */
  void end() {
    Connection open = session;
    if (open == null) {
      return;
    }
    try {
      if (isHolding) {
        giveBack();
      }
      workers.forget(open);
      open.close();
    } catch (SQLException e) {
      loseSession();
    }
  }

  /** Cuts the session under a step that does not come back from it. */
  void abandon() {
    Connection open = session;
    if (open != null) {
      cut(open);
    }
  }

  private Connection session() throws SQLException {
    Connection open = session;
    if (open == null) {
      open = sessions.getConnection();
      session = open;
      open.setAutoCommit(true);
    }
    if (!isProven && System.nanoTime() - nextProof >= 0) {
      isProven = workers.comeBack(open, workerId, wasLost);
      wasLost &= !isProven;
      nextProof = System.nanoTime() + PROOF_INTERVAL.toNanos();
    }
    if (wakeUp == null) {
      WakeUp listening = WakeUp.listen(open);
      hearsSignals = listening.hearsItself(SELF_TEST_PATIENCE);
      if (!hearsSignals) {
        telemetry.record(new EngineEvent.WakeUpUnavailable());
      }
      workers.sayWhetherPolling(open, workerId, !hearsSignals);
      wakeUp = listening;
      dispatcher.wakeAll();
    }
    return open;
  }

  private void loseSession() {
    Connection lost = session;
    session = null;
    wakeUp = null;
    isHolding = false;
    isProven = false;
    wasLost = true;
    nextProof = System.nanoTime();
    if (lost != null) {
      cut(lost);
    }
  }

  /** It may live, and hold K and the lock of our life: a pool must not hand it out again. */
  private static void cut(Connection lost) {
    try {
      lost.abort(Runnable::run);
      lost.close();
    } catch (SQLException e) {
      // It was lost already.
    }
  }

  /** Slots are at work: look at the queues, and for the lost leases, that they do not look at. */
  private Duration poll(Connection open) throws SQLException {
    if (isHolding) {
      giveBack();
    }
    heed(wakeUp().await(Duration.ZERO));
    rescues.look(open);
    boolean foundSome = look(open, dispatcher.unwatched(), isFullLookDue());
    pollInterval =
        foundSome ? POLL_INTERVAL : shorter(pollInterval.multipliedBy(2), LONGEST_POLL_INTERVAL);
    return longer(pollInterval, lookCost.multipliedBy(POLL_COST_FACTOR));
  }

  /** Nothing is due as far as this process knows: rest, unless there is more. */
  private Duration restOrLook(Connection open) throws SQLException {
    WakeUp.Rest rest = rest();
    isHolding = rest == WakeUp.Rest.HOLDING;
    boolean isFull = isLookWanted || isFullLookDue();
    isLookWanted = false;
    long began = System.nanoTime();
    if (look(open, queues, isFull)) {
      return poll(open);
    }
    if (isFull && !isWorking.getAsBoolean()) {
      drained(began);
    }
    if (rest == WakeUp.Rest.POLLING) {
      pollInterval = shorter(pollInterval.multipliedBy(2), LONGEST_POLL_INTERVAL);
      return untilLook(pollInterval, POLL_COST_FACTOR);
    }
    pollInterval = POLL_INTERVAL;
    sleep(untilLook(FALLBACK_INTERVAL, FALLBACK_COST_FACTOR));
    return Duration.ZERO;
  }

  /** Who hears no signals must not have emitters send any. */
  private WakeUp.Rest rest() throws SQLException {
    if (isHolding) {
      return WakeUp.Rest.HOLDING;
    }
    return hearsSignals ? wakeUp().tryToRest() : WakeUp.Rest.POLLING;
  }

  private void sleep(Duration duration) throws SQLException {
    long end = System.nanoTime() + duration.toNanos();
    while (!isStopping && !isLookWanted && dispatcher.isIdle()) {
      Duration left = Duration.ofNanos(end - System.nanoTime());
      if (left.isNegative() || left.isZero()) {
        return;
      }
      List<WakeUp.Signal> signals = wakeUp().await(shorter(left, SLEEP_SLICE));
      heed(signals);
      if (!signals.isEmpty()) {
        return;
      }
    }
  }

  /** Wakes the queues that the signals name. The slots start before K is given back. */
  private void heed(List<WakeUp.Signal> signals) {
    for (WakeUp.Signal signal : signals) {
      if (signal.isHandover()) {
        continue;
      } else if (signal.handlerIds().isEmpty()) {
        dispatcher.wakeAll();
      }
      signal.handlerIds().forEach(id -> dispatcher.wake(id));
    }
  }

  private boolean isFullLookDue() {
    return System.nanoTime() - nextFullLook >= 0;
  }

  /**
   * @param isFull from the beginning of the queues, not from the marks on
   */
  private boolean look(Connection open, Collection<HandlerQueue> where, boolean isFull)
      throws SQLException {
    if (where.isEmpty()) {
      return false;
    }
    long start = System.nanoTime();
    Map<Short, HandlerQueue> unordered = new LinkedHashMap<>();
    Map<Short, HandlerQueue> ordered = new LinkedHashMap<>();
    for (HandlerQueue queue : where) {
      (queue.lanes().isPresent() ? ordered : unordered).put(queue.handlerId(), queue);
    }
    nextDue = Optional.empty();
    boolean foundSome = false;
    if (!unordered.isEmpty()) {
      foundSome = heed(store.dueHandlers(open, windows(unordered, isFull, start)), unordered);
      if (isFull) {
        long now = System.nanoTime();
        boolean isCheap = now - start <= CHEAP_LOOK.toNanos();
        nextFullLook = isCheap ? now : now + (now - start) * FALLBACK_COST_FACTOR;
      }
    }
    if (!ordered.isEmpty()) {
      foundSome |= lookInLanes(open, ordered);
    }
    lookCost = Duration.ofNanos(System.nanoTime() - start);
    return foundSome;
  }

  private static Map<Short, ClaimWindow> windows(
      Map<Short, HandlerQueue> queues, boolean isFull, long now) {
    Map<Short, ClaimWindow> windows = new LinkedHashMap<>();
    queues.forEach(
        (id, queue) ->
            windows.put(id, isFull ? ClaimWindow.everything() : queue.marks().lately(now)));
    return windows;
  }

  private boolean lookInLanes(Connection open, Map<Short, HandlerQueue> ordered)
      throws SQLException {
    long start = System.nanoTime();
    Map<Short, LaneProbe> probes = new LinkedHashMap<>();
    ordered.forEach((id, queue) -> probes.put(id, lanes(queue).probe(start, horizon.floor())));
    List<DueHandler> answers = laneStore.dueHandlers(open, probes);
    long now = System.nanoTime();
    Set<Short> due = new HashSet<>();
    answers.stream().filter(DueHandler::isDue).forEach(answer -> due.add(answer.handlerId()));
    probes.forEach(
        (id, probe) -> {
          HandlerQueue queue = ordered.get(id);
          if (queue != null && !due.contains(id)) {
            lanes(queue).foundNothing(probe, Duration.ofNanos(now - start), now);
          }
        });
    return heed(answers, ordered);
  }

  private static Lanes lanes(HandlerQueue queue) {
    return queue.lanes().orElseThrow();
  }

  private boolean heed(List<DueHandler> answers, Map<Short, HandlerQueue> queues) {
    boolean foundSome = false;
    for (DueHandler answer : answers) {
      HandlerQueue queue = queues.get(answer.handlerId());
      if (queue == null) {
        continue;
      }
      queue.marks().checkClock(answer.checkedAt());
      if (answer.isDue()) {
        foundSome = true;
        dispatcher.wake(queue);
      }
      answer.nextRunAt().ifPresent(next -> sooner(answer.checkedAt(), next));
    }
    return foundSome;
  }

  private void sooner(Instant now, Instant next) {
    Duration until = Duration.between(now, next);
    nextDue = Optional.of(nextDue.map(known -> shorter(known, until)).orElse(until));
  }

  private Duration untilLook(Duration interval, int costFactor) {
    Duration rest = longer(interval, lookCost.multipliedBy(costFactor));
    return nextDue.map(due -> shorter(rest, longer(due, lookCost))).orElse(rest);
  }

  private void giveBack() throws SQLException {
    isHolding = false;
    wakeUp().giveBack();
  }

  private WakeUp wakeUp() {
    WakeUp open = wakeUp;
    if (open == null) {
      throw new IllegalStateException("the listening session must be open");
    }
    return open;
  }

  private static Duration shorter(Duration one, Duration other) {
    return one.compareTo(other) <= 0 ? one : other;
  }

  private static Duration longer(Duration one, Duration other) {
    return one.compareTo(other) >= 0 ? one : other;
  }
}
