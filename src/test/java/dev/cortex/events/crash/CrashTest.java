package dev.cortex.events.crash;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.crash.CrashEmitter.Entrance;
import dev.cortex.events.crash.CrashWorker.Manner;
import dev.cortex.events.crash.Marker.Place;
import dev.cortex.events.crash.Marker.Position;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.io.IOException;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/**
 * Exactly one effect per committed event and handler, whatever is killed. Four processes emit,
 * three workers handle, and one of them that holds a batch is killed again and again. The default
 * run is small; the whole one is
 *
 * <pre>{@code
 * mvn -B test -Dtest=CrashTest -Dcortex.crash.events=100000 -Dcortex.crash.kills=200
 * }</pre>
 */
@ExtendWith(PostgresExtension.class)
class CrashTest {
  private static final int EVENTS = Integer.getInteger("cortex.crash.events", 10_000);
  private static final int KILLS = Integer.getInteger("cortex.crash.kills", 20);
  private static final long SEED = Long.getLong("cortex.crash.seed", System.nanoTime());
  private static final int WORKERS = 3;

  /** SQL, COPY, Java and the command line. */
  private static final int SHARE = EVENTS / 4;

  /** Some victims turn out to have committed; so events last for more attempts than kills. */
  private static final int ATTEMPTS = KILLS + KILLS / 4 + 10;

  /** How long to wait until any worker is where it is to be killed. */
  private static final long AIM_NANOS = TimeUnit.SECONDS.toNanos(2);

  /** From right after the effect to well past the commit. */
  private static final int LATEST_NANOS = 1_500_000;

  /** What a victim held when it died, by its marker and by its effects. */
  private enum Held {
    BEFORE_EFFECT,
    BETWEEN_EFFECT_AND_COMMIT,
    NOTHING
  }

  private final CrashDatabase database;
  private final Random random = new Random(SEED);
  private final List<WorkerProcess> workers = new ArrayList<>();
  private final List<WorkerProcess> victims = new ArrayList<>();
  private int started;

  CrashTest(TestDatabase database) throws SQLException {
    this.database = CrashDatabase.prepare(database);
  }

  @Test
  void every_committed_event_has_one_effect_per_handler_whatever_is_killed(@TempDir Path directory)
      throws Exception {
    Pace pace = Pace.open(directory.resolve("pace"));
    List<Path> ledgers = new ArrayList<>();
    List<Process> emitters = startEmitters(directory, ledgers);
    Path cliLedger = directory.resolve("CLI.ledger");
    ledgers.add(cliLedger);
    CliEmitter cli =
        CliEmitter.start(database.url("cortex_emitter"), 3 * SHARE, 4 * SHARE, pace, cliLedger);
    for (int i = 0; i < WORKERS; i++) {
      workers.add(start(directory).work());
    }

    int attempts = 0;
    WorkerProcess spare = start(directory);
    int holders = 0;
    while (holders < KILLS) {
      assertThat(attempts++)
          .as("attempts at %d kills, seed %d", holders, SEED)
          .isLessThan(ATTEMPTS);
      pace.allow((int) ((long) SHARE * attempts / ATTEMPTS));
      Optional<WorkerProcess> victim = killOne();
      if (victim.isPresent()) {
        workers.add(spare.work());
        spare = start(directory);
        holders += held(victim.get()) == Held.NOTHING ? 0 : 1;
      }
    }
    spare.kill();
    pace.allow(SHARE);
    for (Process emitter : emitters) {
      assertThat(emitter.onExit().join().exitValue()).isZero();
    }
    assertThat(cli.join()).as("events that the command line says it has emitted").isEqualTo(SHARE);
    database.awaitDrained();
    // Those who live have found out about those who died.
    database.awaitAlive(WORKERS);
    for (WorkerProcess worker : workers) {
      worker.terminate();
      assertThat(worker.exitStatus()).as("exit status after SIGTERM").isZero();
    }
    database.awaitNoSessions();
    audit(ledgers);
  }

  private void audit(List<Path> ledgers) throws SQLException, IOException {
    try (Connection connection = database.superuser()) {
      CrashAudit.load(connection, ledgers);
      assertThat(CrashAudit.broken(connection)).as("seed %d", SEED).isEmpty();
    }
    assertThat(database.count("select count(*) from crash_oracle")).isEqualTo(4L * SHARE);
    assertThat(database.count("select count(*) from cortex.workers where vanished"))
        .as("workers found to have ended without a goodbye")
        .isEqualTo(victims.size());
    Map<Held, Integer> kills = kills();
    int holders = victims.size() - kills.get(Held.NOTHING);
    assertThat(holders).as("kills of workers that held a batch").isGreaterThanOrEqualTo(KILLS);
    System.out.printf(
        "crash test: seed %d, %d events committed, %d rolled back, %d effects, %d attempts failed after writing,"
            + " %d kills of workers that held a batch (%d in a handler before its effect, %d between effect and commit)"
            + " and %d of others, lost 0, doubled 0%n",
        SEED,
        database.count("select count(*) from crash_oracle where verdict = 'committed'"),
        database.count("select count(*) from crash_oracle where verdict = 'rolled_back'"),
        database.count("select count(*) from crash_effects"),
        database.count("select count(*) from cortex.attempts where outcome = 'retry'"),
        holders,
        kills.get(Held.BEFORE_EFFECT),
        kills.get(Held.BETWEEN_EFFECT_AND_COMMIT),
        kills.get(Held.NOTHING));
  }

  private Map<Held, Integer> kills() throws SQLException {
    Map<Held, Integer> kills = new EnumMap<>(Held.class);
    for (Held held : Held.values()) {
      kills.put(held, 0);
    }
    for (WorkerProcess victim : victims) {
      kills.merge(held(victim), 1, Integer::sum);
    }
    return kills;
  }

  private WorkerProcess start(Path directory) throws IOException, SQLException {
    return WorkerProcess.start(
        database.url("cortex_worker"), directory, "crash-" + started++, Manner.BUSY);
  }

  private List<Process> startEmitters(Path directory, List<Path> ledgers) throws Exception {
    List<Process> emitters = new ArrayList<>();
    for (Entrance entrance : Entrance.values()) {
      int first = emitters.size() * SHARE;
      Path ledger = directory.resolve(entrance + ".ledger");
      ledgers.add(ledger);
      emitters.add(
          WorkerProcess.jvm(
                  CrashEmitter.class,
                  database.url("cortex_emitter"),
                  entrance.name(),
                  Integer.toString(first),
                  Integer.toString(first + SHARE),
                  directory.resolve("pace").toString(),
                  Long.toString(SEED + first),
                  ledger.toString())
              .redirectOutput(ProcessBuilder.Redirect.INHERIT)
              .start());
    }
    return emitters;
  }

  /** Kills a random worker when it is in a random place; empty when it never came there. */
  private Optional<WorkerProcess> killOne() {
    WorkerProcess victim = workers.get(random.nextInt(workers.size()));
    Place wanted = random.nextBoolean() ? Place.IN_HANDLER : Place.AFTER_EFFECT;
    int late = random.nextInt(3) == 0 ? random.nextInt(LATEST_NANOS) : 0;
    long giveUp = System.nanoTime() + AIM_NANOS;
    while (!victim.marker().holds(wanted)) {
      if (System.nanoTime() - giveUp > 0) {
        return Optional.empty();
      }
      LockSupport.parkNanos(1_000);
    }
    LockSupport.parkNanos(late);
    victim.kill();
    workers.remove(victim);
    victims.add(victim);
    return Optional.of(victim);
  }

  /** The marker says where it was when it died, and its effects whether its commit got through. */
  private Held held(WorkerProcess victim) throws SQLException {
    Held held = Held.NOTHING;
    for (int slot = 0; slot < Marker.SLOTS; slot++) {
      Position position = victim.marker().position(slot);
      if (position.place() == Place.AFTER_EFFECT && !hasCommitted(victim, position.call())) {
        return Held.BETWEEN_EFFECT_AND_COMMIT;
      } else if (position.place() == Place.IN_HANDLER) {
        held = Held.BEFORE_EFFECT;
      }
    }
    return held;
  }

  private boolean hasCommitted(WorkerProcess victim, int call) throws SQLException {
    return database.count(
            "select count(*) from crash_effects where worker = '%s' and call = %d"
                .formatted(victim.name(), call))
        > 0;
  }
}
