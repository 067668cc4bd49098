package dev.cortex.events.interleaving;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.telemetry.EngineEvent;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Transactions that meet: on shared rows, and at another isolation. */
@ExtendWith(PostgresExtension.class)
class ContentionTest {
  private static final String TYPE = "test.contended";
  private static final int EVENTS = 2_000;
  private static final int ROWS = 10;

  private final TestDatabase database;
  private final TestEngine engine;

  ContentionTest(TestDatabase database) {
    this.database = database;
    this.engine = new TestEngine(database);
  }

  @BeforeEach
  void clear() throws SQLException {
    engine.clear();
    engine.run("drop table if exists counters");
    engine.run("create table counters (id integer primary key, n integer not null)");
    engine.run("insert into counters select i, 0 from generate_series(0, ? - 1) i", ROWS);
    engine.run("grant all on counters to public");
  }

  /**
   * Batches of a hundred updates in any order over ten rows, by two workers: deadlocks, on purpose.
   */
  @Test
  void interleaving_11_deadlocks_cost_no_attempt_and_no_event_is_counted_twice() throws Exception {
    engine.subscribe("contended", TYPE);
    engine.emit(TYPE, EVENTS);
    AtomicInteger clashes = new AtomicInteger();
    HandlerDefinition counting =
        HandlerDefinition.oneByOne(
                "contended",
                (event, context) -> {
                  int row = ThreadLocalRandom.current().nextInt(ROWS);
                  TestEngine.run(
                      context.connection(), "update counters set n = n + 1 where id = ?", row);
                  return Outcome.done();
                })
            .on(TYPE)
            .withRetry(TestEngine.QUICK);
    try (CortexEvents one = engine.connect(event -> count(event, clashes));
        CortexEvents other = engine.connect(event -> count(event, clashes))) {
      one.work(List.of(counting));
      other.work(List.of(counting));
      engine.awaitNumber(EVENTS, "select count(*) from cortex.attempts where outcome = 'done'");
    }
    assertThat(clashes.get()).as("clashes, without which this test shows nothing").isPositive();
    assertThat(engine.number("select sum(n) from counters")).isEqualTo(EVENTS);
    assertThat(
            engine.rows(
                "select outcome || ' ' || attempt from cortex.attempts where outcome <> 'snooze' group by 1"))
        .containsExactly("done 1");
  }

  private static void count(EngineEvent event, AtomicInteger clashes) {
    if (event instanceof EngineEvent.BatchClashed) {
      clashes.incrementAndGet();
    }
  }

  @Test
  void interleaving_25_handlers_run_at_read_committed_whatever_the_default_is() throws Exception {
    Set<String> levels = ConcurrentHashMap.newKeySet();
    engine.subscribe("isolated", TYPE);
    engine.emit(TYPE, 50);
    try (Connection owner = engine.superuser()) {
      String name = owner.getCatalog();
      TestEngine.run(
          owner,
          "alter database \"" + name + "\" set default_transaction_isolation = 'serializable'");
      try (CortexEvents cortex = CortexEvents.connect(database.address("cortex_worker"))) {
        cortex.work(
            List.of(
                HandlerDefinition.oneByOne(
                        "isolated",
                        (event, context) -> {
                          levels.add(
                              TestEngine.text(context.connection(), "show transaction_isolation"));
                          return Outcome.done();
                        })
                    .on(TYPE)));
        engine.awaitNumber(50, "select count(*) from cortex.attempts where outcome = 'done'");
      } finally {
        TestEngine.run(
            owner, "alter database \"" + name + "\" reset default_transaction_isolation");
      }
    }
    assertThat(levels).containsExactly("read committed");
  }
}
