package dev.cortex.events.interleaving;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.DedicatedPostgres;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.telemetry.EngineEvent;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

/** Who is taken for dead, and who only has lost its session for a moment. */
@ExtendWith(PostgresExtension.class)
@Timeout(120)
class VanishedWorkersTest {
  private static final String TYPE = "test.vanished";
  private static final String BURIED = "select cardinality(vanished) from cortex.keep_house(?)";

  private final DedicatedPostgres postgres;
  private final TestEngine engine;

  VanishedWorkersTest(DedicatedPostgres postgres) {
    this.postgres = postgres;
    this.engine = new TestEngine(postgres.database());
  }

  @BeforeEach
  void clear() throws SQLException {
    engine.clear();
  }

  @Test
  void a_worker_that_has_just_come_back_itself_buries_nobody() throws Exception {
    try (Connection life = engine.session()) {
      int worker = TestEngine.enter(life);
      int missing = enter();
      engine.run("update cortex.workers set returned_at = now() where worker_id = ?", worker);
      assertThat(engine.number(BURIED, worker)).isZero();

      engine.run(
          "update cortex.workers set returned_at = now() - interval '1 minute' where worker_id = ?",
          worker);
      assertThat(engine.number(BURIED, worker)).isEqualTo(1);
      assertThat(engine.rows("select worker_id::text from cortex.workers where vanished"))
          .containsExactly(Integer.toString(missing));
    }
  }

  @Test
  void a_worker_that_has_no_session_itself_buries_nobody() throws Exception {
    int worker = enter();
    enter();
    assertThat(engine.number(BURIED, worker)).isZero();
    assertThat(engine.number("select count(*) from cortex.workers where vanished")).isZero();
  }

  @Test
  void after_a_restart_of_the_server_nobody_who_is_older_is_buried_at_once() throws Exception {
    int older = enter();
    postgres.restart(DedicatedPostgres.Shutdown.IMMEDIATE);
    try (Connection life = engine.session()) {
      int started = TestEngine.enter(life);
      enter();
      assertThat(engine.number(BURIED, started)).isEqualTo(1);
      assertThat(
              engine.rows(
                  "select worker_id::text from cortex.workers where not vanished order by worker_id"))
          .containsExactly(Integer.toString(older), Integer.toString(started));
    }
  }

  @Test
  void an_outage_costs_what_ran_no_attempt() throws Exception {
    engine.subscribe("slow", TYPE);
    engine.emit(TYPE, 1);
    CountDownLatch started = new CountDownLatch(1);
    CountDownLatch mayGoOn = new CountDownLatch(1);
    Queue<EngineEvent> told = new ConcurrentLinkedQueue<>();
    List<CortexEvents> processes = new ArrayList<>();
    try {
      for (int i = 0; i < 4; i++) {
        CortexEvents cortex = engine.connect(told::add);
        processes.add(cortex);
        cortex.work(
            List.of(
                HandlerDefinition.oneByOne(
                        "slow",
                        (event, context) -> {
                          started.countDown();
                          mayGoOn.await();
                          return TestEngine.effect("slow", event, context);
                        })
                    .on(TYPE)));
      }
      started.await();
      engine.awaitNumber(1, "select count(*) from cortex.slots");
      postgres.restart(DedicatedPostgres.Shutdown.IMMEDIATE);
      engine.awaitNumber(4, "select count(*) from cortex.workers where returned_at is not null");
      mayGoOn.countDown();
      engine.awaitNumber(1, "select count(*) from cortex.attempts where outcome = 'done'");
    } finally {
      processes.forEach(CortexEvents::close);
    }
    assertThat(told).noneMatch(event -> event instanceof EngineEvent.WorkerVanished);
    assertThat(engine.rows(TestEngine.ATTEMPTS, "slow")).containsExactly("0 done 1");
  }

  @Test
  void a_worker_whose_listening_session_alone_was_cut_is_suspected_of_nothing() throws Exception {
    engine.subscribe("slow", TYPE);
    engine.emit(TYPE, 1);
    CountDownLatch mayGoOn = new CountDownLatch(1);
    try (Connection life = engine.session();
        CortexEvents cortex = engine.connect()) {
      int self = TestEngine.enter(life);
      cortex.work(
          List.of(
              HandlerDefinition.oneByOne(
                      "slow",
                      (event, context) -> {
                        mayGoOn.await();
                        return TestEngine.effect("slow", event, context);
                      })
                  .on(TYPE)));
      engine.awaitNumber(1, "select count(*) from cortex.slots");
      int cut = (int) engine.number("select worker_id from cortex.slots");
      CompletableFuture<Void> locked =
          CompletableFuture.runAsync(() -> lock(life, cut)); // before the worker can have it back
      engine.awaitBlocked(life);
      engine.runAsSuperuser(
          """
          select pg_terminate_backend(l.pid) from pg_locks l
           where l.locktype = 'advisory' and l.granted and l.objid = %d
             and l.classid = cortex.worker_lock_class()"""
              .formatted(cut));
      locked.join();

      assertThat(TestEngine.text(life, BURIED, self)).isEqualTo("1");

      assertThat(engine.number("select count(*) from cortex.suspects")).isZero();
      assertThat(engine.number("select count(*) from cortex.slots")).isEqualTo(1);
      mayGoOn.countDown();
      engine.awaitNumber(1, "select count(*) from cortex.attempts where outcome = 'done'");
    } finally {
      mayGoOn.countDown();
    }
    assertThat(engine.rows(TestEngine.ATTEMPTS, "slow")).containsExactly("0 done 1");
  }

  private static void lock(Connection session, int worker) {
    try {
      TestEngine.run(session, "select pg_advisory_lock(cortex.worker_lock_class(), ?)", worker);
    } catch (SQLException e) {
      throw new IllegalStateException(e);
    }
  }

  /** A worker whose process is not there. */
  private int enter() throws SQLException {
    try (Connection brief = engine.session()) {
      int worker = TestEngine.enter(brief);
      engine.kill(brief);
      return worker;
    }
  }
}
