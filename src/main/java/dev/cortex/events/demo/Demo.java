package dev.cortex.events.demo;

import dev.cortex.events.fleet.SampleArchive;
import dev.cortex.events.outbox.ImportOptions;
import dev.cortex.events.outbox.ImportSummary;
import dev.cortex.events.outbox.Importer;
import java.io.IOException;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.time.OffsetDateTime;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import javax.sql.DataSource;

/**
 * One run of the main job on a migrated database that is the demo's own (see {@link #claim}). It
 * may be run there again.
 *
 * <p>The fleet's heart beats by this class's clock, so it sleeps between the beats.
 */
public final class Demo {
  private static final Duration TICK = Duration.ofMillis(200);
  private static final Duration SILENCE = Duration.ofSeconds(2);
  private static final Duration FIX_DELAY = Duration.ofSeconds(1);
  private static final Duration PATIENCE = Duration.ofMinutes(2);
  private static final int WORKERS = 8;
  private static final int TASKS_PER_TICK = 6;

  /** Enough for every slot of every worker. */
  private static final int BURST = 600;

  /**
   * How a run is to be.
   *
   * @param database as the owner; two connections are used
   * @param worker the command that runs a worker on it, with {@link DemoHandlers} too, until its
   *     input ends
   * @param directory for the sample archive and the workers' logs
   * @param length how long the fleet is simulated, at least 6 seconds
   */
  public record Plan(DataSource database, List<String> worker, Path directory, Duration length) {
    public Plan {
      worker = List.copyOf(worker);
      if (length.compareTo(Duration.ofSeconds(6)) < 0) {
        throw new IllegalArgumentException("length must be at least 6 seconds, was " + length);
      }
    }
  }

  private final Plan plan;
  private final DemoAudience audience;
  private final DemoStore store;
  private final DemoWorkers workers;
  private final Ledger ledger = new Ledger();
  private final SimulatedFleet fleet;
  private final OffsetDateTime start;
  private DemoResult.Kill killed = new DemoResult.Kill("no worker", 0);
  private final long begin = System.nanoTime();

  private Demo(
      Plan plan,
      DemoAudience audience,
      Connection connection,
      Connection emitter,
      DemoWorkers workers)
      throws SQLException {
    this.plan = plan;
    this.audience = audience;
    this.store = new DemoStore(connection);
    this.workers = workers;
    this.start = store.now();
    this.fleet =
        new SimulatedFleet(
            emitter,
            ledger::committed,
            new SimulatedFleet.Crew(
                "demo", "demo-" + start.toEpochSecond(), "simulated-worker-", 1, WORKERS, true));
  }

  /**
   * Makes an empty database, migrated or not yet, the demo's own. What is done to a database in a
   * demo is nothing for real data, so one that holds anything else is left as it is.
   *
   * @return a table that is not of the demo; empty if the database is the demo's now
   */
  public static Optional<String> claim(DataSource database) throws SQLException {
    try (Connection connection = database.getConnection()) {
      DemoStore store = new DemoStore(connection);
      Optional<String> foreign = store.foreignTable();
      if (foreign.isEmpty()) {
        store.prepare();
      }
      return foreign;
    }
  }

  /** Runs it from the first act to the last, and asks the database what became of it. */
  public static DemoResult run(Plan plan, DemoAudience audience)
      throws SQLException, IOException, InterruptedException {
    try (Connection connection = plan.database().getConnection();
        Connection emitter = plan.database().getConnection();
        DemoWorkers workers = new DemoWorkers(plan.worker(), plan.directory().resolve("logs"))) {
      emitter.setAutoCommit(false);
      return new Demo(plan, audience, connection, emitter, workers).run();
    }
  }

  private DemoResult run() throws SQLException, IOException, InterruptedException {
    ImportSummary imported = importArchive();
    String doomed = startWorkers();
    store.setThresholds(SILENCE, FIX_DELAY);
    try {
      simulateFleet(doomed);
      awaitDrained();
      // One that is still starting knows no order to end in.
      awaitAtWork(workers.running());
    } finally {
      store.resetThresholds();
    }
    boolean isNoneEnded = workers.ended().isEmpty();
    boolean inOrder = workers.stop() && isNoneEnded;
    audience.step("asking the views what became of it");
    return new DemoResult(
        imported,
        store.handlers(start),
        store.events(start, ledger),
        store.effects(start),
        killed,
        inOrder,
        store.alerts(start),
        store.chores(start),
        Duration.ofNanos(System.nanoTime() - begin),
        plan.directory().resolve("logs"));
  }

  private ImportSummary importArchive() throws IOException {
    Path archive = SampleArchive.copyTo(plan.directory().resolve("sample-archive"));
    ImportSummary summary =
        new Importer(plan.database(), ImportOptions.defaults()).run(List.of(archive));
    audience.step(
        "imported an old archive: %d accepted, %d known already, %d quarantined"
            .formatted(summary.accepted(), summary.duplicate(), summary.quarantinedInAll()));
    return summary;
  }

  /** The one that will be killed. */
  private String startWorkers() throws SQLException, IOException, InterruptedException {
    List<String> names = List.of(workers.start(), workers.start());
    awaitAtWork(names);
    audience.step("two worker processes are at work: " + String.join(", ", names));
    return names.get(1);
  }

  private void awaitAtWork(List<String> names)
      throws SQLException, IOException, InterruptedException {
    long deadline = System.nanoTime() + PATIENCE.toNanos();
    while (store.workersThatLive(names, start) < names.size()) {
      for (String ended : workers.ended()) {
        throw new IOException(ended + " ended: " + workers.lastWords(ended));
      }
      if (System.nanoTime() > deadline) {
        throw new IOException(
            "a worker did not start within "
                + PATIENCE.toSeconds()
                + " s; see "
                + plan.directory().resolve("logs"));
      }
      TimeUnit.MILLISECONDS.sleep(50);
    }
  }

  private void simulateFleet(String doomed) throws SQLException, IOException, InterruptedException {
    audience.step("a simulated fleet of " + WORKERS + " workers begins");
    fleet.startWorkers();
    long ticks = plan.length().dividedBy(TICK);
    long beats = TimeUnit.SECONDS.toMillis(1) / TICK.toMillis();
    for (long tick = 1; tick <= ticks; tick++) {
      boolean isOneSilent = tick > ticks / 4;
      fleet.doTasks(TASKS_PER_TICK);
      if (tick % beats == 0) {
        fleet.beat(isOneSilent);
        fleet.askForStaleCheck();
      }
      act(tick, ticks, doomed);
      show();
      TimeUnit.MILLISECONDS.sleep(TICK.toMillis());
    }
    fleet.stopWorkers();
  }

  /** What happens once, each at its time. */
  private void act(long tick, long ticks, String doomed)
      throws SQLException, IOException, InterruptedException {
    if (tick == ticks / 4) {
      audience.step("simulated-worker-8 falls silent");
    } else if (tick == ticks / 3) {
      ledger.rolledBack(fleet.doTasksInVain(10));
      audience.step("10 tasks were emitted in a transaction that was rolled back");
    } else if (tick == ticks / 2) {
      killAtWork(doomed);
    } else if (tick == ticks * 2 / 3) {
      fleet.askForLearning(store.nextLearningDate());
      audience.step("a learning cycle was asked for, twice; at most one a day is run");
    } else if (tick == ticks * 3 / 4) {
      fleet.askForCleanup();
      audience.step("a clean-up was asked for");
    }
  }

  private void killAtWork(String doomed) throws SQLException, IOException, InterruptedException {
    long pid;
    store.holdEffects();
    try {
      fleet.doTasks(BURST);
      killed = new DemoResult.Kill(doomed, awaitInHands(doomed));
      pid = workers.kill(doomed);
    } finally {
      store.releaseEffects();
    }
    audience.step(
        "killed %s (process %d) with -9, with %d deliveries in its hands; started %s instead"
            .formatted(doomed, pid, killed.deliveries(), workers.start()));
  }

  /** The deliveries of the batch that the worker is in the middle of, and does not get out of. */
  private long awaitInHands(String worker) throws SQLException, InterruptedException {
    long deadline = System.nanoTime() + PATIENCE.toNanos();
    long inHands = store.deliveriesInHands(worker, start);
    while (inHands == 0 && System.nanoTime() < deadline) {
      TimeUnit.MILLISECONDS.sleep(50);
      inHands = store.deliveriesInHands(worker, start);
    }
    return inHands;
  }

  private DemoProgress show() throws SQLException {
    DemoProgress progress =
        store.progress(
            start,
            Duration.ofNanos(System.nanoTime() - begin),
            ledger.committed().size(),
            workers.alive());
    audience.progress(progress);
    return progress;
  }

  /** Gives up in the end: what is stuck then is reported as stuck. */
  private void awaitDrained() throws SQLException, InterruptedException {
    long deadline = System.nanoTime() + PATIENCE.toNanos();
    DemoProgress progress = show();
    while (progress.waiting() + progress.retrying() > 0 && System.nanoTime() < deadline) {
      TimeUnit.MILLISECONDS.sleep(TICK.toMillis());
      progress = show();
    }
  }
}
