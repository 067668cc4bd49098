package dev.cortex.events.demo;

import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Json;
import dev.cortex.events.outbox.Outbox;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import javax.sql.DataSource;

/**
 * A simulated fleet at work on an installation as it is: its handlers, its workers, its data. Each
 * simulated worker does a task a second, says every five seconds that it is alive, and scans twice
 * a minute; each event is a transaction. Two of ten tasks fail, as such tasks do, so handlers may
 * raise alerts.
 *
 * <p>First somebody has to answer system.observability_check; in the end somebody has to again.
 */
public final class LoadTest {
  /** The source of what the test itself emits. */
  private static final String SOURCE = "load-test";

  private static final int MAX_EMITTERS = 8;
  private static final Duration TICK = Duration.ofMillis(100);
  private static final int TICKS_PER_SECOND = 10;
  private static final int BEAT_SECONDS = 5;
  private static final int SCAN_SECONDS = 30;
  private static final Duration LOOK = Duration.ofMillis(250);

  /**
   * How a run is to be.
   *
   * @param emitters as an emitter; at most eight connections are used, and one more
   * @param views as an auditor; one connection is used
   * @param workers how many are simulated, 1 to 1000
   * @param length for how long, 1 second to an hour
   * @param patience how long to wait for an answer to a check, and for the handlers in the end
   */
  public record Plan(
      DataSource emitters, DataSource views, int workers, Duration length, Duration patience) {
    public Plan {
      if (workers < 1 || workers > 1000) {
        throw new IllegalArgumentException("workers must be 1 to 1000, was " + workers);
      }
      if (length.compareTo(Duration.ofSeconds(1)) < 0
          || length.compareTo(Duration.ofHours(1)) > 0) {
        throw new IllegalArgumentException("seconds must be 1 to 3600, was " + length.toSeconds());
      }
    }
  }

  /** Who watches. */
  public interface Audience {
    /** Something begins or has happened. */
    void step(String text);

    /** How it stands, a few times a second. */
    void progress(Progress progress);
  }

  /**
   * How a run stands.
   *
   * @param elapsed since the fleet began
   * @param emitted events that were committed
   * @param waiting deliveries of them that are not finished
   */
  public record Progress(Duration elapsed, long emitted, long waiting) {}

  private final Plan plan;
  private final Audience audience;
  private final LoadStore store;
  private final Connection connection;
  private final String run;
  private final AtomicLong emitted = new AtomicLong();

  private LoadTest(Plan plan, Audience audience, Connection views, Connection connection)
      throws SQLException {
    this.plan = plan;
    this.audience = audience;
    this.connection = connection;
    this.store = new LoadStore(views);
    this.run = SOURCE + "-" + store.start().toEpochSecond();
  }

  /** Runs it, unless nobody answers the first check. */
  public static LoadResult run(Plan plan, Audience audience)
      throws SQLException, InterruptedException {
    try (Connection views = plan.views().getConnection();
        Connection connection = plan.emitters().getConnection()) {
      return new LoadTest(plan, audience, views, connection).run();
    }
  }

  private LoadResult run() throws SQLException, InterruptedException {
    Observability before = check("load_test_starting");
    if (!before.isActive()) {
      return LoadResult.inactive(before);
    }
    audience.step("event system: active (" + before.evidence() + ")");
    audience.step(
        "%d simulated workers begin, for %d s: sources %s-worker-1 and up"
            .formatted(plan.workers(), plan.length().toSeconds(), run));
    long fleetBegin = System.nanoTime();
    letTheFleetWork(fleetBegin);
    Duration emitting = Duration.ofNanos(System.nanoTime() - fleetBegin);
    audience.step("the simulated workers have ended; waiting for the handlers");
    boolean isDrained = awaitDrained(fleetBegin);
    Duration handling = Duration.ofNanos(System.nanoTime() - fleetBegin);
    Observability after = check("load_test_ending");
    return new LoadResult(
        before,
        after,
        emitted.get(),
        store.logged(run),
        store.tallies(run),
        emitting,
        handling,
        isDrained);
  }

  /** Asks whether the event system is active, and waits for an answer. */
  private Observability check(String reason) throws SQLException, InterruptedException {
    long asked = System.nanoTime();
    String event =
        new Outbox()
            .emit(
                connection,
                EventDraft.of("system.observability_check", SOURCE)
                    .withPayload(Json.of(Map.of("action", "ensure_active", "reason", reason))));
    Observability seen = store.observe(event);
    while (!seen.isActive() && System.nanoTime() - asked < plan.patience().toNanos()) {
      TimeUnit.NANOSECONDS.sleep(LOOK.toNanos());
      seen = store.observe(event);
    }
    return seen;
  }

  private void letTheFleetWork(long fleetBegin) throws SQLException, InterruptedException {
    int emitters = Math.min(plan.workers(), MAX_EMITTERS);
    ExecutorService threads = Executors.newFixedThreadPool(emitters);
    try {
      List<Future<?>> all = new ArrayList<>();
      for (int i = 0; i < emitters; i++) {
        int first = 1 + plan.workers() * i / emitters;
        int last = plan.workers() * (i + 1) / emitters;
        all.add(
            threads.submit(
                () -> {
                  emit(first, last, fleetBegin);
                  return true;
                }));
      }
      while (!all.stream().allMatch(Future::isDone)) {
        show(fleetBegin);
        TimeUnit.NANOSECONDS.sleep(LOOK.toNanos());
      }
      for (Future<?> one : all) {
        one.get();
      }
    } catch (ExecutionException e) {
      if (e.getCause() instanceof SQLException sql) {
        throw sql;
      }
      if (e.getCause() instanceof RuntimeException known) {
        throw known;
      }
      throw new IllegalStateException(e.getCause());
    } finally {
      threads.shutdownNow();
    }
  }

  /** On a connection of its own, tick by tick; one that falls behind goes on without a pause. */
  private void emit(int first, int last, long fleetBegin)
      throws SQLException, InterruptedException {
    try (Connection own = plan.emitters().getConnection()) {
      own.setAutoCommit(false);
      SimulatedFleet fleet =
          new SimulatedFleet(
              own,
              ids -> emitted.addAndGet(ids.size()),
              new SimulatedFleet.Crew(
                  run, run + "-" + first, run + "-worker-", first, last, false));
      fleet.startWorkers();
      long end = fleetBegin + plan.length().toNanos();
      for (int tick = 0; System.nanoTime() < end; tick++) {
        for (int worker = first; worker <= last; worker++) {
          act(fleet, worker, tick);
        }
        long next = fleetBegin + (tick + 1) * TICK.toNanos();
        TimeUnit.NANOSECONDS.sleep(Math.max(0, Math.min(next, end) - System.nanoTime()));
      }
      fleet.stopWorkers();
    }
  }

  /** Spread over the second, so that not all of them act at once. */
  private static void act(SimulatedFleet fleet, int worker, int tick) throws SQLException {
    if ((tick + worker) % TICKS_PER_SECOND != 0) {
      return;
    }
    int second = (tick + worker) / TICKS_PER_SECOND + worker;
    fleet.doTask(worker);
    if (second % BEAT_SECONDS == 0) {
      fleet.beat(worker);
    }
    if (second % SCAN_SECONDS == 0) {
      fleet.scan(worker);
    }
  }

  private long show(long fleetBegin) throws SQLException {
    long waiting = store.waiting(run);
    audience.progress(
        new Progress(Duration.ofNanos(System.nanoTime() - fleetBegin), emitted.get(), waiting));
    return waiting;
  }

  private boolean awaitDrained(long fleetBegin) throws SQLException, InterruptedException {
    long deadline = System.nanoTime() + plan.patience().toNanos();
    long waiting = show(fleetBegin);
    while (waiting > 0 && System.nanoTime() < deadline) {
      TimeUnit.NANOSECONDS.sleep(LOOK.toNanos());
      waiting = show(fleetBegin);
    }
    return waiting == 0;
  }
}
