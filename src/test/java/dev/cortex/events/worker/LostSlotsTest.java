package dev.cortex.events.worker;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.handler.HandlerContext;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Order;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.handler.RetryPolicy;
import dev.cortex.events.outbox.Outbox;
import dev.cortex.events.telemetry.EngineEvent;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;

/** Handlers that never return, whatever they are told. */
@ExtendWith(PostgresExtension.class)
@Timeout(180)
class LostSlotsTest {
  private static final int SLOTS = 4;

  /** More than the worker has connections. */
  private static final int HANGING = 2 * SLOTS + 1;

  private static final Duration BUDGET = Duration.ofMillis(500);

  private final TestDatabase database;
  private final AtomicBoolean mayEnd = new AtomicBoolean();
  private final BlockingQueue<EngineEvent.SlotLost> lost = new LinkedBlockingQueue<>();
  private final BlockingQueue<String> handled = new LinkedBlockingQueue<>();

  LostSlotsTest(TestDatabase database) {
    this.database = database;
  }

  @BeforeEach
  void types() throws SQLException {
    run(
        "insert into cortex.event_types (type) values ('test.hanging'), ('test.calm') on conflict do nothing");
  }

  @Test
  void a_worker_outlives_more_lost_slots_than_it_has_connections() throws Exception {
    try (CortexEvents cortex = connect()) {
      cortex.work(List.of(hanging("hanging"), calm("calm")), options());
      for (int i = 0; i < HANGING; i++) {
        emit(EventDraft.of("test.hanging", "test"));
      }
      for (int i = 0; i < HANGING; i++) {
        awaitLostSlot();
      }
      assertThatOthersAreHandled();
      mayEnd.set(true);
    }
  }

  @Test
  void a_lane_whose_thread_is_lost_goes_on_in_the_same_process() throws Exception {
    HandlerDefinition ordered =
        HandlerDefinition.oneByOne("hanging-in-order", this::hang)
            .on("test.hanging")
            .on("test.calm")
            .ordered(Order.byKey().withLanes(1))
            .withRetry(RetryPolicy.defaults().withMaxAttempts(1))
            .withMaxBatch(1)
            .withTimeBudget(BUDGET);
    try (CortexEvents cortex = connect();
        Worker worker = cortex.work(List.of(ordered), options())) {
      emit(EventDraft.of("test.hanging", "test").withKey("one"));
      awaitLostSlot();
      String calm = emit(EventDraft.of("test.calm", "test").withKey("other"));
      assertThat(handled.poll(1, TimeUnit.MINUTES)).isEqualTo(calm);
      assertThat(worker.awaitDrained(Duration.ofMinutes(1))).isTrue();
      mayEnd.set(true);
    }
    assertThat(
            text(
                "select string_agg(outcome || ' ' || coalesce(reason, '-'), ', ' order by event)"
                    + " from cortex.attempts join cortex.handlers using (handler_id) where name = 'hanging-in-order'"))
        .isEqualTo("dead time_budget, done -");
  }

  /** As after a death: what is suspected runs with nothing beside it. */
  @Test
  void a_suspect_that_never_returns_stops_nobody_else() throws Exception {
    run(
        "select cortex.register_handler('suspected', 'transactional', 1::smallint, '1 s', array['test.hanging'])");
    emit(EventDraft.of("test.hanging", "test"));
    run(
        """
        insert into cortex.workers (name, version, stopped_at, vanished) values ('dead', 'test', clock_timestamp(), true);
        insert into cortex.suspects (handler_id, event, deaths)
        select d.handler_id, d.event, 0 from cortex.deliveries d join cortex.handlers h using (handler_id) where h.name = 'suspected'
        """);
    try (CortexEvents cortex = connect()) {
      cortex.work(List.of(hanging("suspected"), calm("unsuspected")), options());
      awaitLostSlot();
      assertThatOthersAreHandled();
      mayEnd.set(true);
    }
  }

  private CortexEvents connect() {
    return CortexEvents.connect(database.address("cortex_worker"))
        .withTelemetry(
            event -> {
              if (event instanceof EngineEvent.SlotLost slotLost) {
                lost.add(slotLost);
              }
            });
  }

  private static WorkerOptions options() {
    return WorkerOptions.defaults().withSlots(SLOTS).withGracePeriod(Duration.ofMillis(100));
  }

  private HandlerDefinition hanging(String name) {
    return HandlerDefinition.oneByOne(name, this::hang)
        .on("test.hanging")
        .withMaxBatch(1)
        .withTimeBudget(BUDGET);
  }

  private HandlerDefinition calm(String name) {
    return HandlerDefinition.oneByOne(name, this::hang).on("test.calm");
  }

  private Outcome hang(Event event, HandlerContext context) {
    while (event.type().equals("test.hanging") && !mayEnd.get()) {
      LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(10));
    }
    handled.add(event.id());
    return Outcome.done();
  }

  private void awaitLostSlot() throws InterruptedException {
    assertThat(lost.poll(1, TimeUnit.MINUTES)).as("lost slot").isNotNull();
  }

  private void assertThatOthersAreHandled() throws Exception {
    List<String> calm = new ArrayList<>();
    for (int i = 0; i < 2 * SLOTS; i++) {
      calm.add(emit(EventDraft.of("test.calm", "test")));
    }
    List<String> seen = new ArrayList<>();
    while (seen.size() < calm.size()) {
      String id = handled.poll(1, TimeUnit.MINUTES);
      assertThat(id).as("after %s", seen).isNotNull();
      seen.add(id);
    }
    assertThat(seen).containsExactlyInAnyOrderElementsOf(calm);
  }

  private String emit(EventDraft draft) throws SQLException {
    try (Connection connection = database.connection()) {
      return new Outbox().emit(connection, draft);
    }
  }

  private void run(String sql) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private String text(String sql) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(sql)) {
      row.next();
      return row.getString(1);
    }
  }
}
