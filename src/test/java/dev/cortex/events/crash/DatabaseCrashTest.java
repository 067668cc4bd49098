package dev.cortex.events.crash;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.crash.CrashWorker.Manner;
import dev.cortex.events.database.DedicatedPostgres;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.outbox.Outbox;
import dev.cortex.events.worker.Worker;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.ConcurrentSkipListMap;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/**
 * Workers survive whatever their database goes through, in the middle of commits, without help. An
 * emitter whose commit was not answered does not know what became of it: then the event is there
 * once or not at all, and its effects with it.
 */
@ExtendWith(PostgresExtension.class)
class DatabaseCrashTest {
  private static final Duration PATIENCE = Duration.ofMinutes(2);
  private static final int WORKERS = 2;
  private static final int EMITTERS = 3;
  private static final int EVENTS_BETWEEN = 300;

  /** What keeps the emitters from running away from the workers. */
  private static final long PAUSE_NANOS = TimeUnit.MILLISECONDS.toNanos(4);

  private static final String HANDLED_BY_BOTH =
      "select min(effects) from (select count(*) as effects from crash_effects group by handler) by_handler";

  private final DedicatedPostgres postgres;
  private final CrashDatabase database;
  private final ConcurrentSkipListMap<Integer, String> verdicts = new ConcurrentSkipListMap<>();
  private final AtomicInteger next = new AtomicInteger();
  private final Outbox outbox = new Outbox();

  DatabaseCrashTest(DedicatedPostgres postgres) throws SQLException {
    this.postgres = postgres;
    this.database = CrashDatabase.prepare(postgres.database());
  }

  @Test
  void workers_survive_restarts_immediate_stops_and_kills_of_the_server(@TempDir Path directory)
      throws Exception {
    AtomicBoolean isOver = new AtomicBoolean();
    List<Thread> emitters =
        Stream.generate(() -> new Thread(() -> emitUntil(isOver))).limit(EMITTERS).toList();
    try (CortexEvents one = work(directory, "one");
        CortexEvents other = work(directory, "other")) {
      assertThat(one).isNotSameAs(other);
      emitters.forEach(Thread::start);
      awaitMore();
      postgres.restart(DedicatedPostgres.Shutdown.FAST);
      awaitMore();
      postgres.restart(DedicatedPostgres.Shutdown.IMMEDIATE);
      awaitMore();
      postgres.crash();
      awaitMore();
      postgres.stop();
      postgres.startAgain();
      awaitMore();
      isOver.set(true);
      for (Thread emitter : emitters) {
        emitter.join();
      }
      database.awaitDrained();
      // Those who were thought dead while the server was away have come back.
      database.awaitAlive(WORKERS);
    }
    database.awaitNoSessions();
    audit(directory.resolve("ledger"));
  }

  private CortexEvents work(Path directory, String name) throws Exception {
    CrashWorker self =
        new CrashWorker(
            WorkerProcess.url(postgres.database().address("cortex_worker")),
            Marker.open(directory.resolve(name)),
            name,
            Manner.BUSY);
    CortexEvents cortex =
        CortexEvents.connect(postgres.database().address("cortex_worker"))
            .withTelemetry(self.telemetry());
    Worker worker = cortex.work(self.handlers(), self.options());
    assertThat(worker.workerId()).isPositive();
    return cortex;
  }

  /** On one connection for as long as it lasts, so that most of the time is spent in commits. */
  private void emitUntil(AtomicBoolean isOver) {
    while (!isOver.get()) {
      try (Connection connection = postgres.database().connection()) {
        connection.setAutoCommit(false);
        while (!isOver.get()) {
          emitOne(connection);
          LockSupport.parkNanos(PAUSE_NANOS);
        }
      } catch (SQLException | RuntimeException e) {
        LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(20));
      }
    }
  }

  private void emitOne(Connection connection) throws SQLException {
    int n = next.getAndIncrement();
    String verdict = "rolled_back";
    try {
      outbox.emit(connection, CrashEvent.plain(n, "test"));
      verdict = "in_doubt";
      connection.commit();
      verdict = "committed";
    } finally {
      verdicts.put(n, verdict);
    }
  }

  /** Waits until more has been committed, and handled by both handlers. */
  private void awaitMore() {
    long enough = times("committed") + EVENTS_BETWEEN;
    await()
        .atMost(PATIENCE)
        .ignoreExceptions()
        .until(() -> times("committed") >= enough && database.count(HANDLED_BY_BOTH) >= enough);
  }

  private long times(String verdict) {
    return verdicts.values().stream().filter(verdict::equals).count();
  }

  private void audit(Path ledger) throws SQLException, IOException {
    Files.write(
        ledger,
        verdicts.entrySet().stream()
            .map(entry -> entry.getKey() + " " + entry.getValue())
            .toList());
    try (Connection connection = database.superuser()) {
      CrashAudit.load(connection, List.of(ledger));
      assertThat(CrashAudit.broken(connection)).isEmpty();
    }
    System.out.printf(
        "database crash test: %d events committed, %d rolled back, %d in doubt (%d of them there), %d effects,"
            + " lost 0, doubled 0, no attempt charged to an event for the database's faults%n",
        times("committed"),
        times("rolled_back"),
        times("in_doubt"),
        database.count(
            "select count(*) from crash_oracle o where verdict = 'in_doubt'"
                + " and exists (select from cortex.events e where e.payload ->> 'n' = o.n::text)"),
        database.count("select count(*) from crash_effects"));
  }
}
