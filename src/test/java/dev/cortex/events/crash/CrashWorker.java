package dev.cortex.events.crash;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.event.Event;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.handler.RetryPolicy;
import dev.cortex.events.telemetry.EngineEvent;
import dev.cortex.events.telemetry.Telemetry;
import dev.cortex.events.worker.Worker;
import dev.cortex.events.worker.WorkerOptions;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;
import java.util.function.ToIntFunction;

/**
 * A worker to be killed: two handlers that write an effect each, and a marker that tells where it
 * is. One event in a hundred fails at its first attempt, after it has written.
 */
final class CrashWorker {
  static final String EACH = "crash-each";
  static final String BATCH = "crash-batch";
  static final String TYPE = "crash.happened";

  /** What the type, the handlers and the tables of a test need. */
  static final String SETUP =
      """
      insert into cortex.event_types (type) values ('crash.happened');
      select cortex.register_handler('crash-each', 'transactional', 20::smallint, '30 s', array['crash.happened']);
      select cortex.register_handler('crash-batch', 'batch', 20::smallint, '30 s', array['crash.*']);
      """;

  /** How long the handlers take. */
  enum Manner {
    /** As ordinary ones. */
    BUSY(Duration.ofNanos(200_000)),
    /** For longer than anybody waits. */
    ASLEEP(Duration.ofSeconds(25));

    private final Duration pause;

    Manner(Duration pause) {
      this.pause = pause;
    }
  }

  private static final Duration GRACE = Duration.ofSeconds(5);
  private static final int FAILS_ONCE = 7;

  private final Marker marker;
  private final String name;
  private final Manner manner;
  private final AtomicInteger calls = new AtomicInteger();

  CrashWorker(Marker marker, String name, Manner manner) {
    this.marker = marker;
    this.name = name;
    this.manner = manner;
  }

  /**
   * Arguments: URL, marker file, name, manner. Begins at the first byte of its input, ends at its
   * end.
   */
  public static void main(String[] arguments) throws Exception {
    CrashWorker self =
        new CrashWorker(
            Marker.open(Path.of(arguments[1])), arguments[2], Manner.valueOf(arguments[3]));
    CortexEvents cortex = CortexEvents.connect(arguments[0]).withTelemetry(self.telemetry());
    List<HandlerDefinition> handlers = self.handlers();
    if (System.in.read() < 0) {
      return;
    }
    Worker worker = cortex.work(handlers, self.options());
    Runtime.getRuntime().addShutdownHook(new Thread(() -> end(cortex)));
    System.out.println("ready " + worker.workerId());
    // At the end of its input, whoever is to kill it is dead itself.
    while (System.in.read() >= 0) {}
    Runtime.getRuntime().halt(1);
  }

  /** The JVM's own exit status of a SIGTERM would be that of a failure. */
  private static void end(CortexEvents cortex) {
    cortex.close();
    Runtime.getRuntime().halt(0);
  }

  WorkerOptions options() {
    return WorkerOptions.defaults()
        .withSlots(Marker.SLOTS)
        .withName(name)
        .withGracePeriod(manner == Manner.BUSY ? GRACE : Duration.ofMillis(100));
  }

  /** Told by the slot's thread after the commit. */
  Telemetry telemetry() {
    return event -> {
      if (event instanceof EngineEvent.BatchHandled || event instanceof EngineEvent.BatchRedone) {
        marker.set(slot(), Marker.Place.ELSEWHERE, 0);
      }
    };
  }

  List<HandlerDefinition> handlers() {
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
    int call = calls.incrementAndGet();
    marker.set(slot(), Marker.Place.IN_HANDLER, call);
    pause();
    try (PreparedStatement insert =
        connection.prepareStatement(
            "insert into crash_effects (handler, n, event_id, worker, call) values (?, ?, ?, ?, ?)")) {
      for (Event event : events) {
        insert.setString(1, handler);
        insert.setInt(2, n(event));
        insert.setString(3, event.id());
        insert.setString(4, name);
        insert.setInt(5, call);
        insert.addBatch();
      }
      insert.executeBatch();
    }
    marker.set(slot(), Marker.Place.AFTER_EFFECT, call);
    pause();
    if (events.stream()
        .anyMatch(event -> n(event) % 100 == FAILS_ONCE && attempt.applyAsInt(event) == 1)) {
      throw new IllegalStateException("fails once");
    }
  }

  /** An impolite one: an interrupt ends the wait, but not the handler. */
  private void pause() {
    LockSupport.parkNanos(manner.pause.toNanos());
  }

  /** The engine numbers its slots from 1, in the names of their threads. */
  private static int slot() {
    String thread = Thread.currentThread().getName();
    return Integer.parseInt(thread.substring(thread.lastIndexOf('-') + 1)) - 1;
  }

  private static int n(Event event) {
    return event.payload().tree().get("n").intValue();
  }
}
