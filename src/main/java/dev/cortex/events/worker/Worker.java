package dev.cortex.events.worker;

import dev.cortex.events.delivery.DeliveryStore;
import dev.cortex.events.delivery.EmitterHorizon;
import dev.cortex.events.delivery.LaneStore;
import dev.cortex.events.delivery.LeaseStore;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.outbox.Outbox;
import dev.cortex.events.telemetry.EngineEvent;
import dev.cortex.events.telemetry.Telemetry;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentLinkedDeque;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.function.Consumer;
import javax.sql.DataSource;

/**
 * A running worker: it claims the deliveries of its handlers and runs them until it is closed. Any
 * number of workers, in any number of processes, share the work of one database.
 *
 * <p>It survives whatever the database goes through, for as long as it takes, without help. Its own
 * threads are daemons: the process ends when the rest of it does, and what the worker held is free
 * again at once.
 *
 * <p>Thread-safe. Closing twice does nothing.
 */
public final class Worker implements AutoCloseable {
  private static final Duration LAST_WORDS = Duration.ofSeconds(5);

  private final WorkerOptions options;
  private final DataSource pool;
  private final WorkerStore workers = new WorkerStore();
  private final Telemetry telemetry;
  private final int workerId;
  private final Dispatcher dispatcher;
  private final WakeStep wakeStep;
  private final Loop wakeLoop;
  private final Loop overruns;
  private final Loop housekeeping;
  private final Loop schedules;
  private final Optional<Loop> spool;
  private final Loop backfills;
  private final BatchRunner runner;
  private final LaneRunner lanes;

  private final Places<Slot> slots;
  private final Places<LeasePlace> leasePlaces;
  private final LeaseKeeper keeper;
  private final List<Loop> keeperLoops = new ArrayList<>();
  private final AtomicBoolean isClosed = new AtomicBoolean();
  private final Deque<Runnable> onClosed = new ConcurrentLinkedDeque<>();

  private Worker(
      DataSource pool,
      DataSource sessions,
      Opening opening,
      WorkerOptions options,
      Telemetry telemetry) {
    DeliveryStore store = new DeliveryStore();
    EmitterHorizon horizon = new EmitterHorizon(new LaneStore());
    HouseStore house = new HouseStore();
    Caution caution = new Caution(pool, workers, opening.workerId(), opening.isCautious());
    this.options = options;
    this.pool = pool;
    this.telemetry = telemetry;
    this.workerId = opening.workerId();
    this.dispatcher = new Dispatcher(opening.queues(), this::slotsAreIdle);
    List<HandlerQueue> leased = opening.queues().stream().filter(HandlerQueue::isLeased).toList();
    LeaseStore leases = new LeaseStore();
    this.keeper = new LeaseKeeper(pool, leases, telemetry, workerId, leased, this::replace);
    RescueClock rescues = new RescueClock(leases, dispatcher, leased, options.leases());
    this.wakeStep =
        new WakeStep(
            sessions,
            store,
            horizon,
            workers,
            dispatcher,
            rescues,
            opening.queues(),
            telemetry,
            workerId,
            opening.session(),
            () -> dispatcher.hasTurns() || !keeper.isIdle());
    this.wakeLoop = new Loop("wake", wakeStep, telemetry);
    Sessions handlers = new Sessions(pool, telemetry);
    this.runner =
        new BatchRunner(
            handlers, store, new HandlerCall(new Outbox()), caution, telemetry, workerId);
    this.lanes = new LaneRunner(handlers, new LaneStore(), horizon, runner);
    this.slots =
        new Places<>(
            "slot",
            options.slots(),
            number -> new Slot((short) number),
            slot -> () -> takeTurn(slot),
            telemetry);
    this.leasePlaces =
        new Places<>(
            "lease",
            leased.isEmpty() ? 0 : options.leases(),
            number ->
                new LeasePlace(
                    number,
                    pool,
                    handlers,
                    leases,
                    keeper,
                    rescues,
                    dispatcher,
                    telemetry,
                    workerId),
            place -> place,
            telemetry);
    this.overruns =
        new Loop("overruns", new OverrunStep(slots.all(), slots::replace, telemetry), telemetry);
    this.backfills = new Loop("backfills", new BackfillStep(pool, house, telemetry), telemetry);
    this.housekeeping =
        new Loop(
            "housekeeping",
            new HousekeepingStep(
                pool, workers, house, slots.all(), caution, telemetry, workerId, backfills::wake),
            telemetry);
    this.schedules = new Loop("schedules", new ScheduleStep(pool, telemetry), telemetry);
    this.spool =
        options
            .spool()
            .map(one -> new Loop("spool", new SpoolStep(one, pool, telemetry), telemetry));
    if (!leased.isEmpty()) {
      keeperLoops.add(new Loop("lease-renewal", keeper::renew, telemetry));
      keeperLoops.add(new Loop("lease-watch", keeper::watch, telemetry));
    }
  }

  /**
   * Starts a worker. Waits for the database for as long as it takes.
   *
   * @param pool where transactions come from, at READ COMMITTED: at least as many connections as
   *     slots, and four more; with leased handlers, as many as leases and one more besides; with a
   *     spool, one more
   * @param sessions where the one long session for listening comes from: directly from the server,
   *     not through a pooler that shares sessions
   * @throws IllegalArgumentException when two handlers have one name, or the pool gives connections
   *     at another isolation
   * @throws dev.cortex.events.database.SchemaMismatchException when the schema does not fit
   * @throws RuntimeException what a handler's requirement threw
   * @throws SQLException when the database refuses, as for a role that may not work here
   * @throws InterruptedException when interrupted while it waits
   */
  public static Worker start(
      DataSource pool,
      DataSource sessions,
      List<HandlerDefinition> handlers,
      WorkerOptions options,
      Telemetry telemetry)
      throws SQLException, InterruptedException {
    checkNames(handlers);
    Telemetry guarded = telemetry.guarded();
    Opening opening = Opening.patiently(pool, sessions, handlers, options, guarded);
    Worker worker = new Worker(pool, sessions, opening, options, guarded);
    worker.run(handlers);
    return worker;
  }

  private static void checkNames(List<HandlerDefinition> handlers) {
    Set<String> names = new HashSet<>();
    for (HandlerDefinition handler : handlers) {
      if (!names.add(handler.name())) {
        throw new IllegalArgumentException(
            "handler names must be unique, two were \"" + handler.name() + "\"");
      }
    }
  }

  private void run(List<HandlerDefinition> handlers) {
    telemetry.record(
        new EngineEvent.WorkerStarted(
            workerId, options.name(), handlers.stream().map(HandlerDefinition::name).toList()));
    slots.start();
    leasePlaces.start();
    keeperLoops.forEach(Loop::start);
    wakeLoop.start();
    overruns.start();
    housekeeping.start();
    schedules.start();
    backfills.start();
    spool.ifPresent(Loop::start);
  }

  /** The id of this start of the worker, as in {@code cortex.workers}. */
  public int workerId() {
    return workerId;
  }

  /**
   * Waits until nothing is due for its handlers any more of what was committed before this call:
   * every delivery is finished, or due later, or held by another worker.
   *
   * @return false when the time is up
   */
  public boolean awaitDrained(Duration patience) throws InterruptedException {
    return wakeStep.awaitDrained(patience);
  }

  /**
   * The same, having stopped to fire schedules: what they have emitted by then is handled too. The
   * worker is to be closed after this.
   */
  public boolean drain(Duration patience) throws InterruptedException {
    schedules.stop();
    return await(schedules, patience) && awaitDrained(patience);
  }

  /** Has something done after the worker is closed, in the reverse order of being asked. */
  public void onClosed(Runnable action) {
    onClosed.push(action);
  }

  /** A leased handler does not return; its lease runs out. */
  private void replace(HeldLease stuck) {
    Optional<LeasePlace> place = leasePlaces.of(stuck.thread());
    if (place.isPresent()) {
      LeasePlace lost = place.get();
      telemetry.record(
          new EngineEvent.SlotLost(
              stuck.queue().name(), stuck.queue().definition().work().mode(), lost.number()));
      lost.endTurn();
      leasePlaces.replace(lost);
    }
  }

  private Duration takeTurn(Slot slot) throws InterruptedException, SQLException {
    Optional<Dispatcher.Turn> turn = dispatcher.take();
    if (turn.isPresent()) {
      Hold hold = slot.hold(() -> dispatcher.done(turn.get()));
      try {
        HandlerQueue queue = turn.get().queue();
        Consumer<Dispatcher.Found> onClaim = found -> dispatcher.claimed(turn.get(), found);
        if (queue.lanes().isPresent()) {
          lanes.run(queue, queue.lanes().get(), slot, onClaim);
        } else {
          runner.run(queue, slot, onClaim);
        }
      } finally {
        hold.close();
      }
    }
    return Duration.ZERO;
  }

  private void slotsAreIdle() {
    wakeLoop.wake();
  }

  /**
   * Ends the worker: takes no more work, finishes what it runs, and gives back what is not finished
   * when the grace period is over. Nothing is lost, and nothing is charged an attempt.
   */
  @Override
  public void close() {
    if (!isClosed.compareAndSet(false, true)) {
      return;
    }
    // In the reverse order of starting; the listening session last, since it proves that we live.
    backfills.stop();
    spool.ifPresent(Loop::stop);
    schedules.stop();
    housekeeping.stop();
    overruns.stop();
    dispatcher.stop();
    slots.stop();
    leasePlaces.stop();
    wakeLoop.stop();
    wakeStep.stop();
    finishOrGiveBack();
    keeperLoops.forEach(Loop::stop);
    await(backfills, LAST_WORDS);
    spool.ifPresent(loop -> await(loop, LAST_WORDS));
    await(schedules, LAST_WORDS);
    await(housekeeping, LAST_WORDS);
    await(overruns, LAST_WORDS);
    boolean wakeLoopHasEnded = await(wakeLoop, LAST_WORDS);
    sayGoodbye();
    if (wakeLoopHasEnded) {
      wakeStep.end();
    } else {
      wakeStep.abandon();
    }
    telemetry.record(new EngineEvent.WorkerStopped(workerId, options.name()));
    onClosed.forEach(Runnable::run);
  }

  /** Gives back at once what is running, without waiting for the rest of the grace period. */
  public void giveBack() {
    for (Slot slot : slots.all()) {
      slot.running().ifPresent(Slot.Running::abort);
    }
    slots.loops().forEach(Loop::interrupt);
    leasePlaces.loops().forEach(Loop::giveUp);
    keeper.recall();
  }

  private void finishOrGiveBack() {
    long deadline = System.nanoTime() + options.gracePeriod().toNanos();
    boolean haveEnded = true;
    List<Loop> working = new ArrayList<>(slots.loops());
    working.addAll(leasePlaces.loops());
    for (Loop loop : working) {
      haveEnded &= await(loop, Duration.ofNanos(deadline - System.nanoTime()));
    }
    if (!haveEnded) {
      giveBack();
      long last = System.nanoTime() + LAST_WORDS.toNanos();
      working.forEach(loop -> await(loop, Duration.ofNanos(last - System.nanoTime())));
    }
    giveBackLeases();
  }

  /** Those whose handlers did not end when they were told to, or whose end was not recorded. */
  private void giveBackLeases() {
    try {
      keeper.giveBackRest(LAST_WORDS);
    } catch (SQLException e) {
      tellLost("leases", e);
    }
  }

  private static boolean await(Loop loop, Duration patience) {
    try {
      return loop.awaitEnd(patience);
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return false;
    }
  }

  private void sayGoodbye() {
    try (Connection connection = pool.getConnection()) {
      connection.setNetworkTimeout(Runnable::run, Math.toIntExact(LAST_WORDS.toMillis()));
      workers.leave(connection, workerId);
    } catch (SQLException e) {
      tellLost("goodbye", e);
    }
  }

  private void tellLost(String part, SQLException error) {
    telemetry.record(
        new EngineEvent.DatabaseLost(
            part, Optional.ofNullable(error.getSQLState()).orElse("none")));
  }
}
