package dev.cortex.events.worker;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.outbox.Outbox;
import dev.cortex.events.telemetry.EngineEvent;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.locks.LockSupport;
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

  private final TestDatabase database;

  LostSlotsTest(TestDatabase database) {
    this.database = database;
  }

  @Test
  void a_worker_outlives_more_lost_slots_than_it_has_connections() throws Exception {
    AtomicBoolean mayEnd = new AtomicBoolean();
    BlockingQueue<EngineEvent.SlotLost> lost = new LinkedBlockingQueue<>();
    BlockingQueue<String> handled = new LinkedBlockingQueue<>();
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement()) {
      statement.execute(
          "insert into cortex.event_types (type) values ('test.hanging'), ('test.calm')");
    }
    try (CortexEvents cortex =
        CortexEvents.connect(database.address("cortex_worker"))
            .withTelemetry(
                event -> {
                  if (event instanceof EngineEvent.SlotLost slotLost) {
                    lost.add(slotLost);
                  }
                })) {
      cortex.work(
          List.of(
              HandlerDefinition.oneByOne(
                      "hanging",
                      (event, context) -> {
                        while (!mayEnd.get()) {
                          LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(10));
                        }
                        return Outcome.done();
                      })
                  .on("test.hanging")
                  .withMaxBatch(1)
                  .withTimeBudget(Duration.ofMillis(500)),
              HandlerDefinition.oneByOne(
                      "calm",
                      (event, context) -> {
                        handled.add(event.id());
                        return Outcome.done();
                      })
                  .on("test.calm")),
          WorkerOptions.defaults().withSlots(SLOTS).withGracePeriod(Duration.ofMillis(100)));
      for (int i = 0; i < HANGING; i++) {
        emit("test.hanging");
      }
      for (int i = 0; i < HANGING; i++) {
        assertThat(lost.poll(1, TimeUnit.MINUTES)).as("lost slot no. %d", i + 1).isNotNull();
      }
      String calm = emit("test.calm");
      assertThat(handled.poll(1, TimeUnit.MINUTES)).isEqualTo(calm);
      mayEnd.set(true);
    }
  }

  private String emit(String type) throws SQLException {
    try (Connection connection = database.connection()) {
      return new Outbox().emit(connection, EventDraft.of(type, "test"));
    }
  }
}
