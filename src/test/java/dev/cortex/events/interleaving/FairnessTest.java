package dev.cortex.events.interleaving;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Priority;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.worker.WorkerOptions;
import java.sql.SQLException;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** One handler's or one type's backlog beside another's. */
@ExtendWith(PostgresExtension.class)
class FairnessTest {
  private final TestEngine engine;

  FairnessTest(TestDatabase database) {
    this.engine = new TestEngine(database);
  }

  @BeforeEach
  void clear() throws SQLException {
    engine.clear();
  }

  /** The held rows stand in a lane of their own, where no claim walks over them. */
  @Test
  void interleaving_20_a_paused_type_leaves_nothing_for_claims_to_walk_over() throws Exception {
    engine.subscribe("mixed", "test.paused");
    engine.subscribe("mixed", "test.going");
    engine.emit("test.paused", 500);
    engine.run("select cortex.pause_type('test.paused', 'a test')");
    engine.emit("test.paused", 500);
    engine.emit("test.going", 10);
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(
          List.of(
              HandlerDefinition.oneByOne("mixed", (event, context) -> Outcome.done())
                  .on("test.paused", "test.going")));
      engine.awaitNumber(10, "select count(*) from cortex.attempts");
      engine.awaitNumber(1000, "select count(*) from cortex.deliveries where lane = -1");
      engine.run("select cortex.resume_type('test.paused', 'a test')");
      engine.awaitNumber(1010, "select count(*) from cortex.attempts where outcome = 'done'");
    }
  }

  /** One slot, a hundred thousand rows of one handler, one critical event of another. */
  @Test
  void interleaving_21_a_backlog_of_one_handler_does_not_keep_another_one_waiting()
      throws Exception {
    engine.subscribe("greedy", "test.greedy");
    engine.subscribe("urgent", "test.urgent");
    engine.run(
        "insert into cortex.events (type, source) select 'test.greedy', 'test' from generate_series(1, 100000)");
    CountDownLatch urgent = new CountDownLatch(1);
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(
          List.of(
              HandlerDefinition.oneByOne("greedy", (event, context) -> Outcome.done())
                  .on("test.greedy"),
              HandlerDefinition.oneByOne(
                      "urgent",
                      (event, context) -> {
                        urgent.countDown();
                        return Outcome.done();
                      })
                  .on("test.urgent")),
          WorkerOptions.defaults().withSlots(1));
      engine.emit(EventDraft.of("test.urgent", "test").withPriority(Priority.CRITICAL));
      urgent.await();
      assertThat(
              engine.number(
                  "select count(*) from cortex.deliveries d join cortex.handlers using (handler_id) where name = 'greedy'"))
          .as("what the other handler still has before it")
          .isPositive();
    }
  }
}
