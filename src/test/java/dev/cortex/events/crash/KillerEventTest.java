package dev.cortex.events.crash;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.io.IOException;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Interleaving 8: an event that kills whoever runs it, and a supervisor that starts them again. */
@ExtendWith(PostgresExtension.class)
@Timeout(180)
class KillerEventTest {
  private static final int EVENTS = 300;
  private static final int LEASED_EVENTS = 20;

  /** One finds nothing, one finds the batch, the rest are the attempts. */
  private static final int MAX_DEATHS = 2 + KillerWorker.MAX_ATTEMPTS;

  private static final String ENDED =
      "select count(*) from cortex.attempts join cortex.handlers using (handler_id)"
          + " where name = 'killed' and outcome in ('done', 'dead')";

  private final CrashDatabase database;
  private final List<Process> started = new ArrayList<>();

  KillerEventTest(TestDatabase database) throws SQLException {
    this.database = new CrashDatabase(database);
    this.database.run(
        "insert into cortex.event_types (type) values ('crash.killer') on conflict do nothing;"
            + " select cortex.register_handler('killed', 'transactional', 3::smallint, '30 s', array['crash.killer']);"
            + " create table if not exists killer_effects (event_id text not null);"
            + " grant all on killer_effects to cortex_worker");
  }

  @AfterEach
  void end_what_still_runs() {
    started.forEach(Process::destroyForcibly);
  }

  @ParameterizedTest(name = "{0}")
  @ValueSource(strings = {"kill", "exit"})
  void interleaving_8_it_ends_in_the_dead_letter_and_costs_its_neighbours_nothing(String how)
      throws Exception {
    emit(EVENTS, how);

    assertThat(work("transactional", EVENTS)).as("deaths").isLessThanOrEqualTo(MAX_DEATHS);

    assertThat(charged("process_died")).isEqualTo(KillerWorker.MAX_ATTEMPTS);
    everybody_else_is_done_once(EVENTS);
  }

  /** Found by its leases, each of which runs out. */
  @ParameterizedTest(name = "{0}")
  @ValueSource(strings = {"kill", "exit"})
  void interleaving_8_under_a_lease_it_ends_in_the_dead_letter_too(String how) throws Exception {
    emit(LEASED_EVENTS, how);

    assertThat(work("leased", LEASED_EVENTS)).as("deaths").isEqualTo(KillerWorker.MAX_ATTEMPTS);

    assertThat(charged("lease_lost")).isEqualTo(KillerWorker.MAX_ATTEMPTS);
    everybody_else_is_done_once(LEASED_EVENTS);
  }

  private void emit(int events, String how) throws SQLException {
    database.runAsSuperuser(
        "set session_replication_role = replica; truncate cortex.events, cortex.deliveries,"
            + " cortex.attempts, cortex.suspects, cortex.slots, cortex.workers, killer_effects");
    database.run(
        """
        insert into cortex.events (type, source, payload)
        select 'crash.killer', 'test', case when n = %2$d then '{"%1$s": true}'::jsonb else '{}' end
          from generate_series(1, %3$d) n
        """
            .formatted(how, events / 2, events));
  }

  /** Works until all have ended, and returns how often the worker died of it. */
  private int work(String mode, int events) throws Exception {
    int deaths = 0;
    Process worker = start(mode);
    while (database.count(ENDED) < events) {
      if (!worker.isAlive()) {
        assertThat(worker.exitValue()).isEqualTo(KillerWorker.EXIT_STATUS);
        deaths++;
        worker = start(mode);
      }
    }
    return deaths;
  }

  private long charged(String reason) throws SQLException {
    return database.count(
        "select count(*) from cortex.attempts where outcome in ('crash', 'dead') and reason = '%s'"
            .formatted(reason));
  }

  private void everybody_else_is_done_once(int events) throws SQLException {
    assertThat(database.count("select count(*) from cortex.attempts where outcome = 'dead'"))
        .isEqualTo(1);
    assertThat(database.count("select count(*) from cortex.attempts where outcome = 'done'"))
        .isEqualTo(events - 1);
    assertThat(
            database.count(
                "select count(*) from cortex.attempts where outcome = 'done' and attempt > 1"))
        .as("neighbours that were charged")
        .isZero();
    assertThat(database.count("select count(distinct event_id) from killer_effects"))
        .isEqualTo(events - 1);
    assertThat(database.count("select count(*) from killer_effects")).isEqualTo(events - 1);
  }

  private Process start(String mode) throws IOException, SQLException {
    Process process =
        WorkerProcess.jvm(KillerWorker.class, database.url("cortex_worker"), mode).start();
    started.add(process);
    return process;
  }
}
