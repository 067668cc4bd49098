package dev.cortex.events.crash;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.outbox.Outbox;
import dev.cortex.events.telemetry.Telemetry;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

/**
 * Interleaving 2 at random: 20,000 events of 200 keys, emitters whose transactions commit in
 * another order than they took their numbers, two worker processes, one of which is killed and
 * replaced, and one attempt in twenty that fails.
 */
@ExtendWith(PostgresExtension.class)
@Timeout(400)
class OrderUnderLoadTest {
  private static final int EMITTERS = 4;
  private static final int EVENTS_OF_EACH = 5_000;
  private static final int KEYS_OF_EACH = 50;

  /** Handled before an earlier event of its key. */
  private static final String VIOLATIONS =
      """
      select count(*)
        from (select event < max(event) over (partition by key order by seq
                                              rows between unbounded preceding and 1 preceding) as is_late
                from order_handled) h
       where is_late
      """;

  private final TestDatabase database;

  OrderUnderLoadTest(TestDatabase database) {
    this.database = database;
  }

  @Test
  void interleaving_2_no_event_overtakes_another_of_its_key() throws Exception {
    run("insert into cortex.event_types (type) values ('order.load')");
    run("create table order_handled (seq bigserial, key text, event bigint)");
    run("grant all on order_handled to public");
    run("grant all on sequence order_handled_seq_seq to public");
    try (CortexEvents cortex =
        CortexEvents.connect(database.address("cortex_worker")).withTelemetry(Telemetry.silent())) {
      cortex.work(List.of(OrderedWorker.HANDLER)).close(); // makes the handler known
    }
    List<Process> workers = new ArrayList<>(List.of(worker(), worker()));
    try {
      emitAll();
      workers.get(0).destroyForcibly().onExit().join();
      workers.add(worker());
      await()
          .atMost(Duration.ofMinutes(5))
          .until(() -> number("select count(distinct event) from order_handled") == 20_000);
    } finally {
      workers.forEach(Process::destroyForcibly);
    }
    assertThat(number(VIOLATIONS)).isZero();
    assertThat(number("select count(*) from order_handled")).isEqualTo(20_000);
    assertThat(number("select count(*) from cortex.attempts where outcome = 'retry'"))
        .isGreaterThan(200);
    assertThat(number("select count(*) from cortex.attempts where outcome = 'dead'")).isZero();
  }

  private Process worker() throws Exception {
    return WorkerProcess.jvm(
            OrderedWorker.class, WorkerProcess.url(database.address("cortex_worker")))
        .start();
  }

  private void emitAll() throws Exception {
    ExecutorService threads = Executors.newFixedThreadPool(EMITTERS);
    try {
      List<Future<?>> emitters = new ArrayList<>();
      for (int emitter = 0; emitter < EMITTERS; emitter++) {
        int number = emitter;
        emitters.add(threads.submit(() -> emit(number)));
      }
      for (Future<?> emitter : emitters) {
        emitter.get();
      }
    } finally {
      threads.shutdownNow();
    }
  }

  /** Its keys are its own, so that the transactions of a key do not overlap. */
  private Void emit(int emitter) throws Exception {
    Random random = new Random(emitter);
    Outbox outbox = new Outbox();
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement()) {
      connection.setAutoCommit(false);
      for (int emitted = 0; emitted < EVENTS_OF_EACH; ) {
        int events = Math.min(1 + random.nextInt(40), EVENTS_OF_EACH - emitted);
        List<EventDraft> drafts = new ArrayList<>();
        for (int i = 0; i < events; i++) {
          String key = "e" + emitter + "-k" + random.nextInt(KEYS_OF_EACH);
          drafts.add(EventDraft.of(OrderedWorker.TYPE, "test").withKey(key));
        }
        outbox.emitAll(connection, drafts);
        if (random.nextInt(4) == 0) {
          statement.execute("select pg_sleep(" + random.nextInt(50) / 1000.0 + ")");
        }
        connection.commit();
        emitted += events;
      }
    }
    return null;
  }

  private void run(String sql) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private long number(String sql) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(sql)) {
      row.next();
      return row.getLong(1);
    }
  }
}
