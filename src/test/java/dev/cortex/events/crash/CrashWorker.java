package dev.cortex.events.crash;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.event.Event;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.handler.RetryPolicy;
import dev.cortex.events.telemetry.Telemetry;
import dev.cortex.events.worker.Worker;
import dev.cortex.events.worker.WorkerOptions;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.function.ToIntFunction;

/**
 * A worker process to be killed: two handlers that write an effect each, and a marker that tells
 * where it is. One event in a hundred fails at its first attempt, after it has written.
 */
final class CrashWorker {
  static final String EACH = "crash-each";
  static final String BATCH = "crash-batch";
  static final String TYPE = "crash.happened";
  static final int FAILS_ONCE = 7;

  private static final long PAUSE_NANOS = TimeUnit.MICROSECONDS.toNanos(200);

  private final Marker marker;

  private CrashWorker(Marker marker) {
    this.marker = marker;
  }

  public static void main(String[] arguments) throws Exception {
    CrashWorker self = new CrashWorker(Marker.open(Path.of(arguments[1])));
    CortexEvents cortex = CortexEvents.connect(arguments[0]).withTelemetry(Telemetry.silent());
    Worker worker =
        cortex.work(
            self.handlers(),
            WorkerOptions.defaults().withSlots(Marker.SLOTS).withName(arguments[2]));
    Runtime.getRuntime().addShutdownHook(new Thread(cortex::close));
    System.out.println("ready " + worker.workerId());
    Thread.currentThread().join();
  }

  private List<HandlerDefinition> handlers() {
    RetryPolicy quick =
        RetryPolicy.defaults().withDelays(Duration.ofMillis(10), Duration.ofMillis(100));
    return List.of(
        HandlerDefinition.oneByOne(
                EACH,
                (event, context) -> {
                  effect(context.connection(), EACH, List.of(event), any -> context.attempt());
                  return Outcome.done();
                })
            .on(TYPE)
            .withRetry(quick),
        HandlerDefinition.batch(
                BATCH,
                (events, context) -> effect(context.connection(), BATCH, events, context::attempt))
            .on("crash.*")
            .withMaxBatch(200)
            .withRetry(quick));
  }

  private void effect(
      Connection connection, String handler, List<Event> events, ToIntFunction<Event> attempt)
      throws SQLException {
    int slot = Thread.currentThread().getName().endsWith("1") ? 0 : 1;
    marker.set(slot, Marker.IN_HANDLER);
    LockSupport.parkNanos(PAUSE_NANOS);
    try (PreparedStatement insert =
        connection.prepareStatement(
            "insert into crash_effects (handler, n, event_id) values (?, ?, ?)")) {
      for (Event event : events) {
        insert.setString(1, handler);
        insert.setInt(2, n(event));
        insert.setString(3, event.id());
        insert.addBatch();
      }
      insert.executeBatch();
    }
    marker.set(slot, Marker.AFTER_EFFECT);
    LockSupport.parkNanos(PAUSE_NANOS);
    if (events.stream()
        .anyMatch(event -> n(event) % 100 == FAILS_ONCE && attempt.applyAsInt(event) == 1)) {
      throw new IllegalStateException("fails once");
    }
  }

  static int n(Event event) {
    return event.payload().tree().get("n").intValue();
  }
}
