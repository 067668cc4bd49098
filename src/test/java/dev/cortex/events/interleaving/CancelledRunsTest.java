package dev.cortex.events.interleaving;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.delivery.SessionStore;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.worker.WorkerOptions;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

/** An operator cancels what a transaction runs at this moment. */
@ExtendWith(PostgresExtension.class)
@Timeout(120)
class CancelledRunsTest {
  private static final String TYPE = "test.cancelled";
  private static final String HANDLER = "cancellable";
  private static final String SERVE = "select event from cortex.serve_cancel_requests()";

  private final TestEngine engine;

  CancelledRunsTest(TestDatabase database) {
    this.engine = new TestEngine(database);
  }

  @BeforeEach
  void clear() throws SQLException {
    engine.clear();
    engine.subscribe(HANDLER, TYPE);
  }

  /** The handler goes on until it is told, and its outcome does not count any more. */
  @Test
  void a_handler_is_told_and_its_delivery_ends_cancelled_whatever_it_returns() throws Exception {
    List<String> ids = engine.emit(TYPE, 5);
    CountDownLatch runs = new CountDownLatch(1);
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(
          List.of(
              HandlerDefinition.oneByOne(
                      HANDLER,
                      (event, context) -> {
                        TestEngine.effect(HANDLER, event, context);
                        if (event.id().equals(ids.get(2))) {
                          runs.countDown();
                          while (!context.isLost()) {
                            Thread.onSpinWait();
                          }
                        }
                        return Outcome.done();
                      })
                  .on(TYPE)),
          WorkerOptions.defaults().withSlots(1));
      runs.await();
      assertThat(cancel(ids.get(2))).isEqualTo("running");
      engine.awaitNumber(5, "select count(*) from cortex.attempts");
      engine.awaitNumber(0, "select count(*) from cortex.cancel_requests");
    }
    assertThat(attempts())
        .containsExactly("0 done 1", "1 done 1", "2 cancelled", "3 done 1", "4 done 1");
    assertThat(engine.text("select error from cortex.attempts where outcome = 'cancel'"))
        .isEqualTo("a test");
    assertThat(engine.rows("select event_id from effects")).hasSize(4).doesNotContain(ids.get(2));
    assertThat(engine.number("select count(*) from cortex.deliveries")).isZero();
  }

  @Test
  void a_batch_handler_is_told_of_one_event_and_called_again_for_the_others() throws Exception {
    List<String> ids = engine.emit(TYPE, 3);
    CountDownLatch runs = new CountDownLatch(1);
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(
          List.of(
              HandlerDefinition.batch(
                      HANDLER,
                      (events, context) -> {
                        runs.countDown();
                        while (events.size() > 1 && !context.isLost(events.get(1))) {
                          Thread.onSpinWait();
                        }
                      })
                  .on(TYPE)),
          WorkerOptions.defaults().withSlots(1));
      runs.await();
      assertThat(cancel(ids.get(1))).isEqualTo("running");
      engine.awaitNumber(3, "select count(*) from cortex.attempts");
    }
    assertThat(attempts()).containsExactly("0 done 1", "1 cancelled", "2 done 1");
  }

  @Test
  void what_finishes_first_is_done_and_the_request_is_forgotten() throws Exception {
    String id = engine.emit(TYPE, 1).get(0);
    short handler = (short) engine.number("select handler_id from cortex.handlers");
    try (Connection worker = engine.begin()) {
      var claimed = engine.claim(worker, handler, 1);
      assertThat(cancel(id)).isEqualTo("running");
      engine.store().acknowledge(worker, 1, claimed, new SessionStore().state(worker));
      worker.commit();
    }
    assertThat(engine.rows(SERVE)).isEmpty();
    assertThat(engine.rows(TestEngine.ATTEMPTS, HANDLER)).containsExactly("0 done 1");
    assertThat(engine.number("select count(*) from cortex.cancel_requests")).isZero();
  }

  /** The worker that ran it died, or failed: whoever is left cancels it. */
  @Test
  void what_is_given_back_is_cancelled_before_it_runs_for_long() throws Exception {
    String id = engine.emit(TYPE, 1).get(0);
    short handler = (short) engine.number("select handler_id from cortex.handlers");
    engine.subscribe("bystander", TYPE + ".other");
    try (Connection worker = engine.begin();
        CortexEvents cortex = engine.connect()) {
      engine.claim(worker, handler, 1);
      assertThat(cancel(id)).isEqualTo("running");
      cortex.work(
          List.of(
              HandlerDefinition.oneByOne("bystander", (event, context) -> Outcome.done())
                  .on(TYPE + ".other")));
      worker.rollback();
      engine.awaitNumber(1, "select count(*) from cortex.attempts");
    }
    assertThat(engine.rows(TestEngine.ATTEMPTS, HANDLER)).containsExactly("0 cancel 0 cancelled");
    assertThat(engine.number("select count(*) from cortex.deliveries")).isZero();
  }

  /** Failed meanwhile, and is to be tried again. */
  @Test
  void what_is_put_elsewhere_in_the_queue_is_found_there() throws Exception {
    String id = engine.emit(TYPE, 1).get(0);
    try (Connection worker = engine.begin()) {
      hold(worker);
      assertThat(cancel(id)).isEqualTo("running");
      TestEngine.run(
          worker, "update cortex.deliveries set run_at = run_at + interval '1 hour', attempt = 1");
      worker.commit();
    }
    assertThat(engine.rows(SERVE)).isEmpty();
    assertThat(engine.rows(TestEngine.ATTEMPTS, HANDLER)).containsExactly("0 cancel 0 cancelled");
    assertThat(engine.number("select count(*) from cortex.cancel_requests")).isZero();
  }

  /** Each of them serves the requests, and only one of them runs the delivery. */
  @Test
  void every_worker_sees_a_request_whatever_another_one_is_at() throws Exception {
    String id = engine.emit(TYPE, 1).get(0);
    try (Connection worker = engine.begin();
        Connection other = engine.begin()) {
      hold(worker);
      assertThat(cancel(id)).isEqualTo("running");
      assertThat(TestEngine.text(other, SERVE)).isNotEmpty();
      assertThat(engine.rows(SERVE)).hasSize(1);
    }
  }

  @Test
  void a_request_costs_the_same_however_much_is_open() throws Exception {
    String id = engine.emit(TYPE, 1_000).get(0);
    try (Connection worker = engine.begin();
        Connection other = engine.begin()) {
      hold(worker);
      assertThat(cancel(id)).isEqualTo("running");
      assertThat(TestEngine.text(other, SERVE)).isNotEmpty();
      String read =
          "select seq_tup_read + idx_tup_fetch from pg_stat_xact_user_tables"
              + " where (schemaname, relname) = ('cortex', 'deliveries')";
      assertThat(Long.parseLong(TestEngine.text(other, read))).isLessThan(10);
    }
  }

  /** Of what is open, the first event's delivery, as a worker that runs it. */
  private void hold(Connection worker) throws SQLException {
    short handler = (short) engine.number("select handler_id from cortex.handlers");
    assertThat(engine.claim(worker, handler, 1)).hasSize(1);
  }

  /** Attempt 1: by the worker that ran it; 0: by whoever found it free, between two runs of it. */
  private List<String> attempts() throws SQLException {
    return engine.rows(TestEngine.ATTEMPTS, HANDLER).stream()
        .map(attempt -> attempt.replaceFirst("cancel [01] ", ""))
        .toList();
  }

  private String cancel(String eventId) throws SQLException {
    return engine.text("select state from cortex.cancel(?, 'a test')", eventId);
  }
}
