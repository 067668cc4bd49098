package dev.cortex.events.crash;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.crash.CrashWorker.Manner;
import dev.cortex.events.crash.Marker.Place;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.TestInstance.Lifecycle;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/**
 * A worker that is asked to end finishes what it runs or gives it back, and exits with 0: nothing
 * is charged an attempt, and nobody has to find out that it is gone.
 */
@ExtendWith(PostgresExtension.class)
@TestInstance(Lifecycle.PER_CLASS)
class SigtermTest {
  private static final int EVENTS_PER_ROUND = 600;
  private static final int ROUNDS = 4;

  private static final String VANISHED = "select count(*) from cortex.workers where vanished";

  private final CrashDatabase database;
  private int started;
  private int emitted;

  SigtermTest(TestDatabase database) throws SQLException {
    this.database = CrashDatabase.prepare(database);
  }

  @Test
  void workers_under_load_that_are_replaced_one_after_the_other_leave_no_trace(
      @TempDir Path directory) throws Exception {
    WorkerProcess staying = start(directory, Manner.BUSY).work();
    for (int round = 0; round < ROUNDS; round++) {
      WorkerProcess leaving = start(directory, Manner.BUSY).work();
      emit(EVENTS_PER_ROUND);
      awaitPlace(leaving, round % 2 == 0 ? Place.IN_HANDLER : Place.AFTER_EFFECT);
      leaving.terminate();
      assertThat(leaving.exitStatus()).isZero();
    }
    database.awaitDrained();
    staying.terminate();
    assertThat(staying.exitStatus()).isZero();
    assertNothingIsBroken(directory);
  }

  @Test
  void what_is_not_finished_in_the_grace_period_is_given_back_uncharged(@TempDir Path directory)
      throws Exception {
    WorkerProcess asleep = start(directory, Manner.ASLEEP).work();
    long attempts = database.count("select count(*) from cortex.attempts");
    emit(6);
    awaitPlace(asleep, Place.IN_HANDLER);
    asleep.terminate();
    assertThat(asleep.exitStatus()).isZero();
    assertThat(database.count("select count(*) from cortex.deliveries where attempt = 0"))
        .as("given back as they were")
        .isEqualTo(12);
    assertThat(database.count("select count(*) from cortex.attempts")).isEqualTo(attempts);
    WorkerProcess next = start(directory, Manner.BUSY).work();
    database.awaitDrained();
    next.terminate();
    assertThat(next.exitStatus()).isZero();
    assertNothingIsBroken(directory);
  }

  private void emit(int events) throws SQLException {
    database.emit(emitted, emitted + events - 1);
    emitted += events;
  }

  private WorkerProcess start(Path directory, Manner manner) throws Exception {
    return WorkerProcess.start(
        database.url("cortex_worker"), directory, "sigterm-" + started++, manner);
  }

  private static void awaitPlace(WorkerProcess worker, Place place) {
    while (!worker.marker().holds(place)) {
      LockSupport.parkNanos(10_000);
    }
  }

  private void assertNothingIsBroken(Path directory) throws Exception {
    database.awaitNoSessions();
    Path ledger = directory.resolve("ledger");
    Files.write(ledger, IntStream.range(0, emitted).mapToObj(n -> n + " committed").toList());
    try (Connection connection = database.superuser()) {
      database.run("truncate crash_oracle");
      CrashAudit.load(connection, List.of(ledger));
      assertThat(CrashAudit.broken(connection)).isEmpty();
    }
    assertThat(database.count(VANISHED)).as("workers that others had to find gone").isZero();
  }
}
