package dev.cortex.events.interleaving;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Priority;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.worker.WorkerOptions;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What one backlog may do to the others. */
@ExtendWith(PostgresExtension.class)
class FairnessTest {
  private static final String TYPE = "test.fairness";

  private final TestEngine engine;

  FairnessTest(TestDatabase database) {
    this.engine = new TestEngine(database);
  }

  @BeforeEach
  void clear() throws SQLException {
    engine.clear();
  }

  /** Slots do not wait for the end of a backlog to look at somebody else's queue. */
  @Test
  void
      interleaving_21_a_hundred_thousand_rows_of_one_handler_do_not_starve_anothers_critical_event()
          throws Exception {
    int backlog = 100_000;
    engine.subscribe("flooded", TYPE + ".flood");
    engine.subscribe("urgent", TYPE + ".urgent");
    engine.run(
        "insert into cortex.events (type, source) select ?, 'test' from generate_series(1, ?)",
        TYPE + ".flood",
        backlog);
    AtomicInteger flooded = new AtomicInteger();
    CountDownLatch underWay = new CountDownLatch(1_000);
    CompletableFuture<Integer> handledBefore = new CompletableFuture<>();
    HandlerDefinition flood =
        HandlerDefinition.oneByOne(
                "flooded",
                (event, context) -> {
                  flooded.incrementAndGet();
                  underWay.countDown();
                  return Outcome.done();
                })
            .on(TYPE + ".flood");
    HandlerDefinition urgent =
        HandlerDefinition.oneByOne(
                "urgent",
                (event, context) -> {
                  handledBefore.complete(flooded.get());
                  return Outcome.done();
                })
            .on(TYPE + ".urgent");
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(List.of(flood, urgent), WorkerOptions.defaults().withSlots(2));
      underWay.await();
      engine.emit(EventDraft.of(TYPE + ".urgent", "test").withPriority(Priority.CRITICAL));

      assertThat(handledBefore.get(TestEngine.PATIENCE.toSeconds(), TimeUnit.SECONDS))
          .isLessThan(backlog);
    }
  }

  /** Of ten claims that urgent events fill, one begins lower down. */
  @ParameterizedTest
  @EnumSource(
      value = Priority.class,
      names = {"HIGH", "MEDIUM", "LOW"})
  void an_event_of_a_lower_priority_does_not_wait_for_the_end_of_the_critical_ones(Priority lower)
      throws Exception {
    int backlog = 20_000;
    engine.subscribe("endless", TYPE + ".endless");
    engine.run(
        "insert into cortex.events (type, source, priority)"
            + " select ?, 'test', 'critical' from generate_series(1, ?)",
        TYPE + ".endless",
        backlog);
    engine.emit(EventDraft.of(TYPE + ".endless", "test").withPriority(lower));
    AtomicInteger urgent = new AtomicInteger();
    CompletableFuture<Integer> handledBefore = new CompletableFuture<>();
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(
          List.of(
              HandlerDefinition.oneByOne(
                      "endless",
                      (event, context) -> {
                        if (event.priority() == lower) {
                          handledBefore.complete(urgent.get());
                        } else {
                          urgent.incrementAndGet();
                        }
                        return Outcome.done();
                      })
                  .on(TYPE + ".endless")
                  .withMaxBatch(20)),
          WorkerOptions.defaults().withSlots(1));

      assertThat(handledBefore.get(TestEngine.PATIENCE.toSeconds(), TimeUnit.SECONDS))
          .isBetween(1, backlog - 1);
    }
  }

  /** Held rows lie where no claim looks, so that it neither returns nor walks over them. */
  @Test
  void interleaving_20_rows_of_a_paused_type_are_not_in_the_way_of_a_claim() throws Exception {
    short handler = engine.subscribe("mixed", TYPE + ".paused");
    engine.run(
        "insert into cortex.event_types (type) values (?) on conflict do nothing", TYPE + ".free");
    engine.run(
        "insert into cortex.subscriptions (handler_id, pattern) values (?, ?)",
        handler,
        TYPE + ".free");
    engine.emit(TYPE + ".paused", 3_000);
    engine.emit(TYPE + ".free", 5);
    engine.run("select cortex.pause_type(?, 'a test')", TYPE + ".paused");
    await()
        .atMost(TestEngine.PATIENCE)
        .until(
            () ->
                engine.text("select bool_and(settled) from cortex.held_types").equals("t")
                    || moved());
    engine.emit(TYPE + ".paused", 10);

    try (Connection worker = engine.begin()) {
      assertThat(engine.claim(worker, handler, 1_000))
          .hasSize(5)
          .allMatch(row -> row.event().orElseThrow().type().equals(TYPE + ".free"));
      worker.rollback();
    }
    assertThat(
            engine.rows(
                "select lane || ' ' || count(*) from cortex.deliveries group by lane order by lane"))
        .containsExactly("-1 3010", "0 5");
  }

  private boolean moved() throws SQLException {
    return engine.text("select bool_and(settled) from cortex.move_held()").equals("t");
  }

  /** Resuming is nobody's INSERT, and wakes all the same. */
  @Test
  void interleaving_20_a_worker_at_rest_goes_on_when_the_type_is_resumed() throws Exception {
    engine.subscribe("resumed", TYPE + ".resumed");
    engine.run("select cortex.pause_type(?, 'a test')", TYPE + ".resumed");
    HandlerDefinition definition =
        HandlerDefinition.oneByOne(
                "resumed", (event, context) -> TestEngine.effect("resumed", event, context))
            .on(TYPE + ".resumed");
    try (CortexEvents cortex = engine.connect()) {
      var worker = cortex.work(List.of(definition));
      engine.emit(TYPE + ".resumed", 20);
      assertThat(worker.awaitDrained(TestEngine.PATIENCE)).isTrue();
      assertThat(engine.number("select count(*) from cortex.attempts")).isZero();
      engine.run("select cortex.resume_type(?, 'a test')", TYPE + ".resumed");
      engine.awaitNumber(20, "select count(*) from cortex.attempts where outcome = 'done'");
      engine.awaitNumber(0, "select count(*) from cortex.held_types");
    }
  }
}
