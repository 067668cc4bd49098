package dev.cortex.events.crash;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.crash.CrashWorker.Manner;
import dev.cortex.events.crash.Marker.Place;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.telemetry.Telemetry;
import dev.cortex.events.worker.Worker;
import dev.cortex.events.worker.WorkerOptions;
import java.io.IOException;
import java.nio.file.Path;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Random;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/**
 * What a killed process held is handled by another one without waiting for a lease. Asserted is
 * that it happens, and in which order; how soon is measured and printed. The default run kills a
 * few times; for a figure,
 *
 * <pre>{@code
 * mvn -B test -Dtest=PickUpTest -Dcortex.crash.pickups=30
 * }</pre>
 */
@ExtendWith(PostgresExtension.class)
class PickUpTest {
  private static final int ROUNDS = Integer.getInteger("cortex.crash.pickups", 4);
  private static final long SEED = Long.getLong("cortex.crash.seed", System.nanoTime());
  private static final Duration PATIENCE = Duration.ofMinutes(2);

  /** A kill comes at any moment of what the survivor does every half second or second. */
  private static final int LATEST_NANOS = 1_000_000_000;

  private record PickUp(long nanoTime, int attempt) {}

  private final CrashDatabase database;
  private final Random random = new Random(SEED);
  private final BlockingQueue<PickUp> pickUps = new LinkedBlockingQueue<>();

  PickUpTest(TestDatabase database) throws SQLException {
    this.database = CrashDatabase.prepare(database);
  }

  @Test
  void what_a_killed_worker_held_is_picked_up_by_an_idle_one(@TempDir Path directory)
      throws Exception {
    List<Long> millis = new ArrayList<>();
    WorkerProcess next = start(directory, 0);
    for (int round = 0; round < ROUNDS; round++) {
      WorkerProcess victim = next.work();
      database.emit(round, round);
      // In both handlers: what it has not claimed yet, the survivor may.
      while (!victim.marker().holdsOnly(Place.IN_HANDLER)) {
        LockSupport.parkNanos(10_000);
      }
      next = start(directory, round + 1);
      millis.add(pickUpMillis(victim));
    }
    next.kill();
    assertThat(database.count("select count(*) from cortex.workers where vanished"))
        .isEqualTo(ROUNDS);
    assertThat(database.count("select count(*) from cortex.deliveries")).isZero();
    Collections.sort(millis);
    System.out.printf(
        "pick-up test: %d kills of a worker in a handler; kill to the start of the handler in an idle worker:"
            + " median %d ms, worst %d ms, seed %d%n",
        ROUNDS, millis.get(millis.size() / 2), millis.get(millis.size() - 1), SEED);
  }

  private WorkerProcess start(Path directory, int number) throws IOException, SQLException {
    return WorkerProcess.start(
        database.url("cortex_worker"), directory, "asleep-" + number, Manner.ASLEEP);
  }

  /** Kills the victim beside a worker that has found nothing to do. */
  private long pickUpMillis(WorkerProcess victim) throws Exception {
    try (CortexEvents cortex =
            CortexEvents.connect(database.url("cortex_worker")).withTelemetry(Telemetry.silent());
        Worker survivor = cortex.work(handlers(), WorkerOptions.defaults())) {
      assertThat(survivor.awaitDrained(PATIENCE)).as("the survivor is idle").isTrue();
      LockSupport.parkNanos(random.nextInt(LATEST_NANOS));
      assertThat(pickUps).as("handled while the other holds it").isEmpty();
      long killed = System.nanoTime();
      victim.kill();
      PickUp pickUp = pickUps.poll(PATIENCE.toMillis(), TimeUnit.MILLISECONDS);
      assertThat(pickUp).as("the survivor's attempt").isNotNull();
      assertThat(pickUp.attempt()).as("the killed attempt is not charged").isEqualTo(1);
      database.awaitDrained();
      // Found gone by the survivor, who alone can tell.
      database.awaitAlive(1);
      assertThat(pickUps).as("handled once").isEmpty();
      return TimeUnit.NANOSECONDS.toMillis(pickUp.nanoTime() - killed);
    }
  }

  private List<HandlerDefinition> handlers() {
    return List.of(
        HandlerDefinition.oneByOne(
                CrashWorker.EACH,
                (event, context) -> {
                  pickUps.add(new PickUp(System.nanoTime(), context.attempt()));
                  return Outcome.done();
                })
            .on(CrashEvent.PLAIN),
        HandlerDefinition.batch(CrashWorker.BATCH, (events, context) -> {}).on("crash.*"));
  }
}
