package dev.cortex.events.crash;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.crash.CrashEmitter.Entrance;
import dev.cortex.events.crash.CrashWorker.Manner;
import dev.cortex.events.crash.Marker.Place;
import dev.cortex.events.crash.Marker.Position;
import dev.cortex.events.database.DedicatedPostgres;
import dev.cortex.events.database.PostgresExtension;
import java.io.IOException;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Deque;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.api.io.TempDir;

/**
 * Every promise of docs/reliability.md, whatever is done to the workers and to the server. Four
 * processes emit, three handle by handlers of every kind, and blow follows blow at random. In the
 * end one statement holds the database against what was written down beside it. The default run is
 * small; the whole one is
 *
 * <pre>{@code
 * mvn -B test -Dtest=ChaosTest -Dcortex.chaos.events=1000000
 * }</pre>
 */
@ExtendWith(PostgresExtension.class)
class ChaosTest {
  private static final int EVENTS = Integer.getInteger("cortex.chaos.events", 12_000);
  private static final int BLOWS = Integer.getInteger("cortex.chaos.blows", 24 + EVENTS / 4_000);
  private static final long SEED = Long.getLong("cortex.chaos.seed", System.nanoTime());
  private static final int RESTARTS = 2;
  private static final int WORKERS = 3;

  /** SQL, COPY, Java and the command line. */
  private static final int SHARE = EVENTS / 4;

  /** How long to wait until a worker is where it is to be struck. */
  private static final long AIM_NANOS = TimeUnit.SECONDS.toNanos(2);

  /** From right after the effect to well past the commit. */
  private static final int LATEST_NANOS = 1_500_000;

  /** Longer than a lease, and than the server waits for a session that stands still. */
  private static final int STOPPED_SECONDS = 2 + 2 * (int) CrashWorker.BUDGET.toSeconds();

  /** What is resumed or let go on has so long to show what it still holds. */
  private static final int SECONDS_AFTER_STOP = 4;

  private static final int PAUSED_SECONDS = 2;
  private static final long PROGRESS_NANOS = TimeUnit.SECONDS.toNanos(15);
  private static final long DRAIN_NANOS = TimeUnit.MINUTES.toNanos(15);
  private static final long POLL_NANOS = TimeUnit.MILLISECONDS.toNanos(50);

  /** What befalls the system, and how often of a hundred times. */
  private enum Blow {
    KILL(46),
    STOP(16),
    TERMINATE(12),
    PAUSE_HANDLER(5),
    PAUSE_TYPE(5),
    CANCEL(10),
    REDRIVE(6),
    RESTART_SERVER(0);

    private final int percent;

    Blow(int percent) {
      this.percent = percent;
    }
  }

  /** What a victim held when it died, by its marker and by its effects. */
  private enum Held {
    BEFORE_EFFECT,
    BETWEEN_EFFECT_AND_COMMIT,
    LEASE,
    NOTHING
  }

  /** What is to be done at a later moment. */
  private record Later(long nanoTime, Deed deed) {}

  /** May fail while the server is away. */
  @FunctionalInterface
  private interface Deed {
    void run() throws Exception;
  }

  /** What is open and not dead for good. */
  private static final String UNFINISHED =
      """
      select count(*)
        from cortex.deliveries d
        join cortex.events e on e.id = d.event and e.received_at = d.event_at
       where d.run_at < 'infinity' or (e.payload ->> 'n')::integer % 997 = 4
      """;

  /** What a struck worker held runs again: promised is within one and a half leases. */
  private static final String AFTER_BLOW =
      """
      select count(*) || ' times, at most ' || max(after) || ', median ' || percentile_cont(0.5) within group (order by after)
        from (select min(next.started_at) - min(b.at) as after
                from cortex.attempts lost
                join cortex.workers w on w.worker_id = lost.worker_id
                join crash_blows b on b.worker = w.name and b.at < lost.finished_at
                join cortex.attempts next
                  on (next.event, next.handler_id) = (lost.event, lost.handler_id) and next.attempt = lost.attempt + 1
               where lost.reason = 'lease_lost'
               group by lost.event, lost.handler_id, lost.attempt) rerun
      """;

  private final DedicatedPostgres postgres;
  private final CrashDatabase database;
  private final Path directory;
  private final Random random = new Random(SEED);
  private final List<WorkerProcess> started = new ArrayList<>();
  private final List<WorkerProcess> working = new ArrayList<>();
  private final List<WorkerProcess> killed = new ArrayList<>();
  private final List<WorkerProcess> terminated = new ArrayList<>();
  private final List<Process> emitters = new ArrayList<>();
  private final List<Path> ledgers = new ArrayList<>();
  private final Deque<Later> later = new ArrayDeque<>();
  private final Map<Blow, Integer> blows = new EnumMap<>(Blow.class);

  ChaosTest(DedicatedPostgres postgres, @TempDir Path directory) throws SQLException {
    this.postgres = postgres;
    this.database = CrashDatabase.prepare(postgres.database());
    this.directory = directory;
    // A sequence that was used in the template goes back if the server crashes before a checkpoint
    // (CREATE DATABASE copies it without what it has logged ahead). No database of users is a copy.
    try (Connection connection = database.superuser();
        Statement statement = connection.createStatement()) {
      statement.execute("checkpoint");
    }
    this.database.run(
        """
        insert into cortex.schedules (name, cron, type, payload)
        values ('each-minute', '* * * * *', 'crash.followed', jsonb_build_object('n', 0, 'check', md5('0'), 'by', 'clock'))
        """);
  }

  @AfterEach
  void end_what_still_runs() {
    started.forEach(WorkerProcess::kill);
    emitters.forEach(Process::destroyForcibly);
  }

  @Test
  void every_promise_is_kept_whatever_befalls_workers_and_server() throws Exception {
    System.out.printf("chaos test: seed %d, %d events, %d blows%n", SEED, EVENTS, BLOWS);
    long start = System.nanoTime();
    Pace pace = Pace.open(directory.resolve("pace"));
    startEmitters();
    Path cliLedger = directory.resolve("CLI.ledger");
    ledgers.add(cliLedger);
    CompletableFuture<Integer> cli =
        CliEmitter.start(url("cortex_emitter"), 3 * SHARE, 4 * SHARE, pace, cliLedger);
    for (int i = 0; i < WORKERS; i++) {
      working.add(start().work());
    }

    List<Blow> deck = deck();
    WorkerProcess spare = start();
    for (int i = 0; i < deck.size(); i++) {
      pace.allow((int) ((long) SHARE * (i + 1) / deck.size()));
      awaitProgress(2L * EVENTS * i / deck.size() * 8 / 10);
      strike(deck.get(i));
      if (working.size() < WORKERS) {
        working.add(spare.work());
        spare = start();
      }
    }
    spare.kill();
    pace.allow(SHARE);
    awaitEmitters(cli);
    drain();
    for (WorkerProcess worker : working) {
      terminate(worker);
    }
    for (WorkerProcess worker : terminated) {
      assertThat(worker.exitStatus()).as("exit status after SIGTERM, seed %d", SEED).isZero();
    }
    database.awaitNoSessions();
    try (Connection connection = database.superuser()) {
      CrashAudit.load(connection, ledgers);
      assertThat(CrashAudit.broken(connection)).as("seed %d", SEED).isEmpty();
    }
    report(TimeUnit.NANOSECONDS.toSeconds(System.nanoTime() - start));
  }

  /** At least one of each, the rest by their share; the server's restarts spread evenly. */
  private List<Blow> deck() {
    List<Blow> deck = new ArrayList<>(EnumSet.complementOf(EnumSet.of(Blow.RESTART_SERVER)));
    deck.addAll(List.of(Blow.KILL, Blow.KILL, Blow.STOP, Blow.STOP));
    while (deck.size() < BLOWS) {
      int hundredth = random.nextInt(100);
      for (Blow blow : Blow.values()) {
        hundredth -= blow.percent;
        if (hundredth < 0) {
          deck.add(blow);
          break;
        }
      }
    }
    Collections.shuffle(deck, random);
    for (int restart = 1; restart <= RESTARTS; restart++) {
      deck.add(deck.size() * restart / (RESTARTS + 1), Blow.RESTART_SERVER);
    }
    return deck;
  }

  private void strike(Blow blow) throws Exception {
    blows.merge(blow, 1, Integer::sum);
    WorkerProcess victim = working.get(random.nextInt(working.size()));
    switch (blow) {
      case KILL -> kill(victim);
      case STOP -> stop();
      case TERMINATE -> {
        working.remove(victim);
        terminate(victim);
      }
      case PAUSE_HANDLER -> {
        String handler = CrashWorker.HANDLERS.get(random.nextInt(CrashWorker.HANDLERS.size()));
        database.run("select cortex.pause_handler('%s', 'chaos')".formatted(handler));
        after(
            PAUSED_SECONDS,
            () -> database.run("select cortex.resume_handler('%s', 'chaos')".formatted(handler)));
      }
      case PAUSE_TYPE -> {
        String type = random.nextBoolean() ? CrashEvent.KEYED : CrashEvent.PLAIN;
        database.run("select cortex.pause_type('%s', 'chaos')".formatted(type));
        after(
            PAUSED_SECONDS,
            () -> database.run("select cortex.resume_type('%s', 'chaos')".formatted(type)));
      }
      case CANCEL -> cancel();
      case REDRIVE -> redrive();
      case RESTART_SERVER -> {
        assertInvariantsHold();
        postgres.restart(DedicatedPostgres.Shutdown.IMMEDIATE);
        assertInvariantsHold();
      }
    }
  }

  /** In the midst of it. */
  private void assertInvariantsHold() throws SQLException {
    try (Connection connection = database.superuser()) {
      assertThat(CrashAudit.brokenInvariants(connection)).as("seed %d", SEED).isEmpty();
    }
  }

  /** When it is in a random place, or wherever it is when it does not come there. */
  private void kill(WorkerProcess victim) throws SQLException {
    Place wanted = random.nextBoolean() ? Place.IN_HANDLER : Place.AFTER_EFFECT;
    int late = random.nextInt(3) == 0 ? random.nextInt(LATEST_NANOS) : 0;
    long begin = System.nanoTime();
    while (!victim.marker().holds(wanted) && System.nanoTime() - begin < AIM_NANOS) {
      LockSupport.parkNanos(1_000);
    }
    LockSupport.parkNanos(late);
    victim.kill();
    writeDown(Blow.KILL, victim);
    working.remove(victim);
    killed.add(victim);
  }

  /** In the middle of a leased handler; later it goes on, and finds out. */
  private void stop() throws Exception {
    Optional<WorkerProcess> holder = Optional.empty();
    long begin = System.nanoTime();
    while (holder.isEmpty() && System.nanoTime() - begin < PROGRESS_NANOS) {
      LockSupport.parkNanos(1_000);
      holder = working.stream().filter(worker -> worker.marker().isInLeasedHandler()).findAny();
    }
    WorkerProcess victim = holder.orElse(working.get(0));
    victim.suspend();
    writeDown(Blow.STOP, victim);
    working.remove(victim);
    after(
        STOPPED_SECONDS + random.nextInt(4),
        () -> {
          victim.resume();
          after(SECONDS_AFTER_STOP, () -> terminate(victim));
        });
  }

  /** As the server's clock has it, a moment after the blow. */
  private void writeDown(Blow blow, WorkerProcess victim) throws SQLException {
    database.run(
        "insert into crash_blows (blow, worker) values ('%s', '%s')"
            .formatted(blow, victim.name()));
  }

  private void terminate(WorkerProcess worker) {
    worker.terminate();
    terminated.add(worker);
  }

  /** An event that some handler has not finished yet, at all of its handlers. */
  private void cancel() throws SQLException {
    database.run(
        """
        select c.*
          from (select cortex.public_event_id(e.id, e.received_at, e.event_id) as event_id
                  from cortex.deliveries d
                  join cortex.events e on e.id = d.event and e.received_at = d.event_at
                 order by d.event desc
                 limit 1) e
         cross join lateral cortex.cancel(e.event_id, 'chaos') c
        """);
  }

  private void redrive() throws SQLException {
    for (String handler : CrashWorker.HANDLERS) {
      database.run("select cortex.redrive('%s', 'chaos', null, 10000)".formatted(handler));
    }
  }

  private void after(int seconds, Deed deed) {
    later.add(new Later(System.nanoTime() + TimeUnit.SECONDS.toNanos(seconds), deed));
  }

  /** What is due, and no more: a deed may put off another. */
  private void doWhatIsDue() throws Exception {
    for (int i = later.size(); i > 0; i--) {
      Later next = later.remove();
      if (System.nanoTime() - next.nanoTime() >= 0) {
        next.deed().run();
      } else {
        later.add(next);
      }
    }
  }

  /** Blows come as the work does, but do not wait for ever for what another blow holds up. */
  private void awaitProgress(long effects) throws Exception {
    long begin = System.nanoTime();
    do {
      doWhatIsDue();
      LockSupport.parkNanos(POLL_NANOS);
    } while (database.count("select last_value from crash_effects_seq_seq") < effects
        && System.nanoTime() - begin < PROGRESS_NANOS);
  }

  private void awaitEmitters(CompletableFuture<Integer> cli) throws Exception {
    while (!cli.isDone() || emitters.stream().anyMatch(Process::isAlive)) {
      doWhatIsDue();
      LockSupport.parkNanos(POLL_NANOS);
    }
    for (Process emitter : emitters) {
      assertThat(emitter.exitValue()).isZero();
    }
    assertThat(cli.join()).as("events of the command line").isPositive();
  }

  /** Until everything has ended, and what was to be redriven has been. */
  private void drain() throws Exception {
    while (!later.isEmpty()) {
      doWhatIsDue();
      LockSupport.parkNanos(POLL_NANOS);
    }
    long begin = System.nanoTime();
    while (database.count(UNFINISHED) > 0) {
      assertThat(System.nanoTime() - begin)
          .as("nanoseconds to drain, seed %d", SEED)
          .isLessThan(DRAIN_NANOS);
      redrive(); // a dead letter holds its key
      LockSupport.parkNanos(AIM_NANOS);
    }
    // Those who live have found out about those who died.
    database.awaitAlive(WORKERS);
  }

  private void report(long seconds) throws SQLException {
    Map<Held, Integer> holders = new EnumMap<>(Held.class);
    for (WorkerProcess victim : killed) {
      holders.merge(held(victim), 1, Integer::sum);
    }
    int refusals = started.stream().mapToInt(worker -> worker.marker().refusals()).sum();
    System.out.printf(
        "chaos test: seed %d, %d s, server %s, blows %s, killed workers held %s,"
            + " stale acknowledgements refused %d, order violations 0, broken promises 0%n",
        SEED, seconds, text("show server_version"), blows, holders, refusals);
    System.out.printf(
        "  emitted: %s%n",
        text("select verdict, count(*) from crash_oracle group by 1 order by 1"));
    System.out.printf(
        "  of those in doubt there: %s, follow-ups: %s%n",
        text(
            "select count(*) from crash_oracle o join cortex.events e on e.payload ->> 'n' = o.n::text where o.verdict = 'in_doubt' and not e.payload ? 'by'"),
        text("select count(*) from cortex.events e where e.payload ? 'by'"));
    System.out.printf(
        "  effects: %s, elsewhere %s%n",
        text("select handler, count(*) from crash_effects group by 1 order by 1"),
        text("select count(*) from crash_calls"));
    System.out.printf(
        "  attempts: %s%n",
        text(
            "select concat_ws(':', outcome, reason), count(*) from cortex.attempts group by 1 order by 1"));
    System.out.printf(
        "  operators: %s, dead letters left: %s%n",
        text("select action, count(*) from cortex.operator_actions group by 1 order by 1"),
        text("select count(*) from cortex.deliveries"));
    System.out.printf("  from a blow to the next attempt of a lost lease: %s%n", text(AFTER_BLOW));
    assertThat(refusals).as("stale acknowledgements, seed %d", SEED).isPositive();
    assertThat(2 * (killed.size() - holders.getOrDefault(Held.NOTHING, 0)))
        .as("killed workers that held something are at least half of all, seed %d", SEED)
        .isGreaterThanOrEqualTo(killed.size());
    assertThat(database.count("select count(*) from crash_oracle where verdict <> 'repeated'"))
        .isEqualTo(4L * SHARE);
    assertThat(database.count("select count(*) from crash_oracle where verdict = 'repeated'"))
        .isPositive();
  }

  /** The marker says where it was when it died, and its effects whether its commit got through. */
  private Held held(WorkerProcess victim) throws SQLException {
    Held held = victim.marker().holdsLease() ? Held.LEASE : Held.NOTHING;
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

  private String text(String sql) throws SQLException {
    List<String> rows = new ArrayList<>();
    try (Connection connection = database.superuser();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(sql)) {
      while (row.next()) {
        rows.add(
            row.getMetaData().getColumnCount() == 1
                ? row.getString(1)
                : row.getString(1) + " " + row.getString(2));
      }
    }
    return String.join(", ", rows);
  }

  private WorkerProcess start() throws IOException, SQLException {
    WorkerProcess worker =
        WorkerProcess.start(
            url("cortex_worker"), directory, "crash-" + started.size(), Manner.BUSY);
    started.add(worker);
    return worker;
  }

  private String url(String role) throws SQLException {
    return database.url(role);
  }

  private void startEmitters() throws Exception {
    for (Entrance entrance : Entrance.values()) {
      int first = emitters.size() * SHARE;
      Path ledger = directory.resolve(entrance + ".ledger");
      ledgers.add(ledger);
      emitters.add(
          WorkerProcess.jvm(
                  CrashEmitter.class,
                  url("cortex_emitter"),
                  entrance.name(),
                  Integer.toString(first),
                  Integer.toString(first + SHARE),
                  directory.resolve("pace").toString(),
                  Long.toString(SEED + first),
                  ledger.toString())
              .redirectOutput(ProcessBuilder.Redirect.INHERIT)
              .start());
    }
  }
}
