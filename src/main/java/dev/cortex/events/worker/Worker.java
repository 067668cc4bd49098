package dev.cortex.events.worker;

import dev.cortex.events.database.DatabaseFault;
import dev.cortex.events.database.SchemaVersion;
import dev.cortex.events.delivery.DeliveryStore;
import dev.cortex.events.delivery.EmitterHorizon;
import dev.cortex.events.delivery.LaneStore;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.outbox.Outbox;
import dev.cortex.events.telemetry.EngineEvent;
import dev.cortex.events.telemetry.Telemetry;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
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
  private final Loop housekeeping;
  private final Loop schedules;
  private final List<Slot> slots = new ArrayList<>();
  private final List<Loop> slotLoops = new ArrayList<>();
  private final AtomicBoolean isClosed = new AtomicBoolean();

  private Worker(
      DataSource pool,
      DataSource sessions,
      Connection session,
      int workerId,
      List<HandlerQueue> queues,
      WorkerOptions options,
      Telemetry telemetry) {
    DeliveryStore store = new DeliveryStore();
    EmitterHorizon horizon = new EmitterHorizon(new LaneStore());
    this.options = options;
    this.pool = pool;
    this.telemetry = telemetry;
    this.workerId = workerId;
    this.dispatcher = new Dispatcher(queues, this::slotsAreIdle);
    this.wakeStep =
        new WakeStep(
            sessions, store, horizon, workers, dispatcher, queues, telemetry, workerId, session);
    this.wakeLoop = new Loop("wake", wakeStep, telemetry);
    this.housekeeping =
        new Loop(
            "housekeeping",
            new HousekeepingStep(pool, workers, slots, telemetry, workerId),
            telemetry);
    this.schedules = new Loop("schedules", new ScheduleStep(pool, telemetry), telemetry);
    BatchRunner runner =
        new BatchRunner(pool, store, new HandlerCall(new Outbox()), telemetry, workerId);
    LaneRunner lanes = new LaneRunner(pool, new LaneStore(), horizon, runner);
    for (short number = 1; number <= options.slots(); number++) {
      Slot slot = new Slot(number);
      slots.add(slot);
      slotLoops.add(new Loop("slot-" + number, () -> takeTurn(runner, lanes, slot), telemetry));
    }
  }

  /**
   * Starts a worker. Waits for the database for as long as it takes.
   *
   * @param pool where transactions come from, at READ COMMITTED: at least as many connections as
   *     slots, and two more
   * @param sessions where the one long session for listening comes from: directly from the server,
   *     not through a pooler that shares sessions
   * @throws dev.cortex.events.database.SchemaMismatchException when the schema does not fit
   * @throws SQLException when the database refuses, as for a role that may not work here
   */
  public static Worker start(
      DataSource pool,
      DataSource sessions,
      List<HandlerDefinition> handlers,
      WorkerOptions options,
      Telemetry telemetry)
      throws SQLException, InterruptedException {
    Opening opening = Opening.patiently(sessions, handlers, options, telemetry);
    Worker worker =
        new Worker(
            pool,
            sessions,
            opening.session(),
            opening.workerId(),
            opening.queues(),
            options,
            telemetry);
    worker.run(handlers);
    return worker;
  }

  private void run(List<HandlerDefinition> handlers) {
    telemetry.record(
        new EngineEvent.WorkerStarted(
            workerId, options.name(), handlers.stream().map(HandlerDefinition::name).toList()));
    slotLoops.forEach(Loop::start);
    wakeLoop.start();
    housekeeping.start();
    schedules.start();
  }

  /** The id of this start of the worker, as in {@code cortex.workers}. */
  public int workerId() {
    return workerId;
  }

  /**
   * Waits until nothing is due for its handlers: every delivery is finished, or due later, or held
   * by another worker.
   *
   * @return false when the time is up
   */
  public boolean awaitDrained(Duration patience) throws InterruptedException {
    return wakeStep.drained().await(patience.toMillis(), TimeUnit.MILLISECONDS);
  }

  private Duration takeTurn(BatchRunner runner, LaneRunner lanes, Slot slot)
      throws InterruptedException, SQLException {
    Optional<Dispatcher.Turn> turn = dispatcher.take();
    if (turn.isPresent()) {
      try {
        HandlerQueue queue = turn.get().queue();
        Consumer<Dispatcher.Found> onClaim = found -> dispatcher.claimed(turn.get(), found);
        if (queue.lanes().isPresent()) {
          lanes.run(queue, queue.lanes().get(), slot, onClaim);
        } else {
          runner.run(queue, slot, onClaim);
        }
      } finally {
        dispatcher.done(turn.get());
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
    schedules.stop();
    housekeeping.stop();
    dispatcher.stop();
    slotLoops.forEach(Loop::stop);
    wakeLoop.stop();
    wakeStep.stop();
    finishOrGiveBack();
    await(schedules, LAST_WORDS);
    await(housekeeping, LAST_WORDS);
    await(wakeLoop, LAST_WORDS);
    sayGoodbye();
    wakeStep.end();
    telemetry.record(new EngineEvent.WorkerStopped(workerId, options.name()));
  }

  /** Gives back at once what is running, without waiting for the rest of the grace period. */
  public void giveBack() {
    for (Slot slot : slots) {
      slot.running().ifPresent(Slot.Running::abort);
    }
    slotLoops.forEach(Loop::interrupt);
  }

  private void finishOrGiveBack() {
    long deadline = System.nanoTime() + options.gracePeriod().toNanos();
    boolean haveEnded = true;
    for (Loop loop : slotLoops) {
      haveEnded &= await(loop, Duration.ofNanos(deadline - System.nanoTime()));
    }
    if (!haveEnded) {
      giveBack();
      slotLoops.forEach(loop -> await(loop, LAST_WORDS));
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
      workers.leave(connection, workerId);
    } catch (SQLException e) {
      telemetry.record(
          new EngineEvent.DatabaseLost(
              "goodbye", Optional.ofNullable(e.getSQLState()).orElse("none")));
    }
  }

  /** The session, the id and the queues that a worker starts with. */
  private record Opening(Connection session, int workerId, List<HandlerQueue> queues) {

    /** Tries until the database is there; gives up only on what no waiting mends. */
    static Opening patiently(
        DataSource sessions,
        List<HandlerDefinition> handlers,
        WorkerOptions options,
        Telemetry telemetry)
        throws SQLException, InterruptedException {
      boolean isTold = false;
      while (true) {
        try {
          return attempt(sessions, handlers, options);
        } catch (SQLException e) {
          if (DatabaseFault.of(e).filter(fault -> !fault.costsAttempt()).isEmpty()) {
            throw e;
          }
          if (!isTold) {
            telemetry.record(
                new EngineEvent.DatabaseLost(
                    "start", Optional.ofNullable(e.getSQLState()).orElse("none")));
            isTold = true;
          }
          TimeUnit.MILLISECONDS.sleep(500);
        }
      }
    }

    private static Opening attempt(
        DataSource sessions, List<HandlerDefinition> handlers, WorkerOptions options)
        throws SQLException {
      Connection session = sessions.getConnection();
      try {
        SchemaVersion.require(session);
        WorkerStore workers = new WorkerStore();
        List<HandlerQueue> queues = new ArrayList<>();
        for (HandlerDefinition handler : handlers) {
          WorkerStore.Registered registered = workers.register(session, handler);
          queues.add(new HandlerQueue(handler, registered.handlerId()));
          if (registered.lanes() > 0) {
            queues.add(HandlerQueue.ordered(handler, registered.handlerId(), registered.lanes()));
          }
        }
        return new Opening(session, workers.enter(session, options.name(), version()), queues);
      } catch (SQLException | RuntimeException e) {
        session.close();
        throw e;
      }
    }

    private static String version() {
      return Optional.ofNullable(Worker.class.getPackage().getImplementationVersion())
          .orElse("development");
    }
  }
}
