package dev.cortex.events.crash;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.crash.CrashEmitter.Entrance;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.io.IOException;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/**
 * Exactly one effect per committed event and handler, whatever is killed. The default run is small;
 * the whole one is
 *
 * <pre>{@code
 * mvn -B test -Dtest=CrashTest -Dcortex.crash.events=100000 -Dcortex.crash.kills=200
 * }</pre>
 */
@ExtendWith(PostgresExtension.class)
class CrashTest {
  private static final int EVENTS = Integer.getInteger("cortex.crash.events", 8_000);
  private static final int KILLS = Integer.getInteger("cortex.crash.kills", 12);
  private static final long SEED = Long.getLong("cortex.crash.seed", System.nanoTime());
  private static final int WORKERS = 3;

  /** SQL, COPY, Java and the command line. */
  private static final int SHARE = EVENTS / 4;

  private static final double SECONDS_PER_KILL = 0.7;
  private static final Duration PATIENCE = Duration.ofMinutes(5);

  private final TestDatabase database;
  private final Random random = new Random(SEED);
  private final List<WorkerProcess> workers = new ArrayList<>();
  private int started;
  private int killed;
  private int killedInHandler;
  private int killedAfterEffect;

  CrashTest(TestDatabase database) {
    this.database = database;
  }

  @Test
  void every_committed_event_has_one_effect_per_handler_whatever_is_killed(@TempDir Path directory)
      throws Exception {
    prepare();
    String url = url("crash_worker", "cortex_worker");
    for (int i = 0; i < WORKERS; i++) {
      startWorker(url, directory);
    }
    for (WorkerProcess worker : workers) {
      worker.awaitReady();
    }
    List<Path> ledgers = new ArrayList<>();
    List<Process> emitters = startEmitters(directory, ledgers);
    Path cliLedger = directory.resolve("CLI.ledger");
    ledgers.add(cliLedger);
    CliEmitter cli =
        CliEmitter.start(
            url("crash_emitter_cli", "cortex_emitter"),
            3 * SHARE,
            4 * SHARE,
            KILLS * SECONDS_PER_KILL,
            cliLedger);

    long giveUp = System.nanoTime() + TimeUnit.SECONDS.toNanos(60 + 4L * KILLS);
    while (killedInHandler + killedAfterEffect < KILLS) {
      assertThat(System.nanoTime() - giveUp).as("kills so far: %d", killed).isNegative();
      killOne(url, directory);
    }
    for (Process emitter : emitters) {
      assertThat(emitter.onExit().join().exitValue()).isZero();
    }
    assertThat(cli.join()).isEqualTo(SHARE);
    await().atMost(PATIENCE).until(() -> count("select count(*) from cortex.deliveries") == 0);
    // The last to leave bury those who could not.
    await()
        .atMost(PATIENCE)
        .until(
            () -> count("select count(*) from cortex.workers where stopped_at is null") == WORKERS);
    for (WorkerProcess worker : workers) {
      assertThat(worker.end()).as("exit status after SIGTERM").isEqualTo(143);
    }

    try (Connection connection = database.connection()) {
      CrashAudit.load(connection, ledgers);
      assertThat(CrashAudit.broken(connection)).as("seed %d", SEED).isEmpty();
    }
    System.out.printf(
        "crash test: seed %d, %d events committed, %d rolled back, %d effects, %d failed once,"
            + " %d kills (%d before the effect, %d between effect and commit, %d elsewhere), lost 0, doubled 0%n",
        SEED,
        count("select count(*) from crash_oracle where verdict = 'committed'"),
        count("select count(*) from crash_oracle where verdict = 'rolled_back'"),
        count("select count(*) from crash_effects"),
        count("select count(*) from cortex.attempts where outcome = 'retry'"),
        killed,
        killedInHandler,
        killedAfterEffect,
        killed - killedInHandler - killedAfterEffect);
    aChangeIsFound(
        "delete from crash_effects where ctid = (select min(ctid) from crash_effects)",
        "an effect is missing");
    aChangeIsFound(
        "insert into crash_effects select * from crash_effects limit 1", "an effect is doubled");
    aChangeIsFound(
        "insert into crash_effects values ('crash-each', -1, 'evt_20260101_000000_0')",
        "an effect is of no event");
    aChangeIsFound(
        "insert into crash_oracle values (-1, 'committed')", "a committed event is lost");
    aChangeIsFound(
        "update crash_oracle set verdict = 'rolled_back' where n = 0 and verdict = 'committed' or n in (select n from crash_oracle where verdict = 'committed' limit 1)",
        "a rolled back event is there");
    aChangeIsFound(
        "delete from crash_oracle where n in (select n from crash_oracle where verdict = 'committed' limit 1)",
        "an event is there that nobody emitted");
    aChangeIsFound(
        "insert into cortex.deliveries (run_at, event, event_at, priority, handler_id) select now(), id, received_at, 'low', 1 from cortex.events limit 1",
        "a delivery is stuck");
    aChangeIsFound(
        "insert into cortex.attempts (event, event_at, started_at, outcome, handler_id, generation, attempt) select event, event_at, now(), 'done', handler_id, 0, 9 from cortex.attempts limit 1",
        "a delivery has not exactly one done attempt");
  }

  /** The test's own test: what it is to find, it finds. */
  private void aChangeIsFound(String change, String invariant) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement()) {
      connection.setAutoCommit(false);
      statement.execute(change);
      assertThat(CrashAudit.broken(connection)).anyMatch(broken -> broken.startsWith(invariant));
      connection.rollback();
    }
  }

  private void prepare() throws SQLException {
    run("insert into cortex.event_types (type) values ('crash.happened')");
    run(
        "select cortex.register_handler('crash-each', 'transactional', 20::smallint, '30 s', array['crash.happened'])");
    run(
        "select cortex.register_handler('crash-batch', 'batch', 20::smallint, '30 s', array['crash.*'])");
    run(CrashAudit.SCHEMA);
    run("insert into crash_fails_once values ('crash-each'), ('crash-batch')");
  }

  private void startWorker(String url, Path directory) throws IOException {
    String name = "crash-" + started++;
    workers.add(WorkerProcess.start(url, directory.resolve(name + ".marker"), name));
  }

  private List<Process> startEmitters(Path directory, List<Path> ledgers) throws Exception {
    List<Process> emitters = new ArrayList<>();
    Entrance[] entrances = Entrance.values();
    for (int i = 0; i < entrances.length; i++) {
      boolean isWorker = entrances[i] == Entrance.JAVA;
      Path ledger = directory.resolve(entrances[i] + ".ledger");
      ledgers.add(ledger);
      emitters.add(
          WorkerProcess.jvm(
                  CrashEmitter.class,
                  url("crash_emitter_" + i, isWorker ? "cortex_worker" : "cortex_emitter"),
                  entrances[i].name(),
                  Integer.toString(i * SHARE),
                  Integer.toString((i + 1) * SHARE),
                  Double.toString(KILLS * SECONDS_PER_KILL),
                  Long.toString(SEED + i),
                  ledger.toString())
              .redirectOutput(ProcessBuilder.Redirect.INHERIT)
              .start());
    }
    return emitters;
  }

  /** Kills a random worker while it is in a handler, as far as one can aim, and starts another. */
  private void killOne(String url, Path directory) throws IOException {
    int victim = random.nextInt(workers.size());
    WorkerProcess worker = workers.get(victim);
    byte wanted = random.nextBoolean() ? Marker.IN_HANDLER : Marker.AFTER_EFFECT;
    long giveUp = System.nanoTime() + TimeUnit.SECONDS.toNanos(1);
    while (!worker.marker().holds(wanted) && System.nanoTime() - giveUp < 0) {
      LockSupport.parkNanos(1_000);
    }
    if (!worker.marker().holds(wanted)) {
      return;
    }
    worker.kill();
    killed++;
    // The file says where it really was when it died.
    if (worker.marker().holds(Marker.AFTER_EFFECT)) {
      killedAfterEffect++;
    } else if (worker.marker().holds(Marker.IN_HANDLER)) {
      killedInHandler++;
    }
    workers.remove(victim);
    startWorker(url, directory);
  }

  private String url(String login, String role) throws SQLException {
    try (Connection connection = database.superuserAddress().dataSource().getConnection();
        Statement statement = connection.createStatement()) {
      statement.execute(
          "do $$ begin if not exists (select from pg_roles where rolname = '%1$s') then create role %1$s login password '%1$s' in role %2$s; end if; end $$"
              .formatted(login, role));
    }
    return database.address().withLogin(login, login).jdbcUrl()
        + "?user="
        + login
        + "&password="
        + login;
  }

  private void run(String sql) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private long count(String sql) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(sql)) {
      row.next();
      return row.getLong(1);
    }
  }
}
