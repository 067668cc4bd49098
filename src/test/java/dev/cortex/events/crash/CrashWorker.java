package dev.cortex.events.crash;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.crash.CrashEvent.Temper;
import dev.cortex.events.event.Event;
import dev.cortex.events.handler.HandlerContext;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.LeaseContext;
import dev.cortex.events.handler.Order;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.handler.RetryPolicy;
import dev.cortex.events.telemetry.EngineEvent;
import dev.cortex.events.telemetry.Telemetry;
import dev.cortex.events.worker.Worker;
import dev.cortex.events.worker.WorkerOptions;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.ThreadLocalRandom;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.locks.LockSupport;

/**
 * A worker to be killed: a handler of each kind, each of which writes an effect and then does what
 * the event's {@link Temper} says, and a marker that tells where it is.
 */
final class CrashWorker implements AutoCloseable {
  static final String EACH = "crash-each";
  static final String BATCH = "crash-batch";
  static final String ORDERED = "crash-ordered";
  static final String LEASED = "crash-leased";
  static final List<String> HANDLERS = List.of(EACH, BATCH, ORDERED, LEASED);

  /** Shorter than the time for which a worker is stopped. */
  static final Duration LEASE = Duration.ofSeconds(3);

  /** The server ends a session that stands still for twice as long. */
  static final Duration BUDGET = Duration.ofSeconds(4);

  /**
   * What the types, the handlers and the tables of a test need. As subscribed to long ago, so that
   * every event counts.
   */
  static final String SETUP =
      """
      insert into cortex.event_types (type)
      values ('crash.happened'), ('crash.keyed'), ('crash.leased'), ('crash.followed');
      select cortex.register_handler('crash-each', 'transactional', 20::smallint, '4 s', array['crash.happened', 'crash.followed']);
      select cortex.register_handler('crash-batch', 'batch', 20::smallint, '4 s', array['crash.*']);
      select cortex.order_handler(
               cortex.register_handler('crash-ordered', 'transactional', 20::smallint, '4 s', array['crash.keyed']),
               8::smallint, 'hold', '{}');
      select cortex.register_handler('crash-leased', 'leased', 20::smallint, '15 min', array['crash.leased']);
      update cortex.subscriptions set subscribed_at = subscribed_at - interval '1 hour';
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

  /** A leased handler is in its call for long enough to be met there. */
  private static final int LEASED_PAUSES = 25;

  private static final Duration GRACE = Duration.ofSeconds(5);

  private final String url;
  private final Marker marker;
  private final String name;
  private final Manner manner;
  private final AtomicInteger calls = new AtomicInteger();

  /** A connection of the handler's own, in auto-commit, one for each place. */
  private final Map<Thread, Connection> elsewhere = new ConcurrentHashMap<>();

  CrashWorker(String url, Marker marker, String name, Manner manner) {
    this.url = url;
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
            arguments[0],
            Marker.open(Path.of(arguments[1])),
            arguments[2],
            Manner.valueOf(arguments[3]));
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

  /** When its worker has ended. */
  @Override
  public void close() throws SQLException {
    for (Connection connection : elsewhere.values()) {
      connection.close();
    }
  }

  WorkerOptions options() {
    return WorkerOptions.defaults()
        .withSlots(Marker.SLOTS)
        .withLeases(Marker.LEASES)
        .withName(name)
        .withGracePeriod(manner == Manner.BUSY ? GRACE : Duration.ofMillis(100));
  }

  /** Told by the slot's thread after the commit. */
  Telemetry telemetry() {
    return event -> {
      if (event instanceof EngineEvent.LeaseRefused) {
        marker.addRefusal();
      }
      if (event instanceof EngineEvent.BatchHandled
          || event instanceof EngineEvent.BatchRedone
          || event instanceof EngineEvent.LeaseRefused) {
        marker.set(slot(), Marker.Place.ELSEWHERE, 0);
      }
    };
  }

  List<HandlerDefinition> handlers() {
    RetryPolicy quick =
        RetryPolicy.defaults().withDelays(Duration.ofMillis(10), Duration.ofMillis(100));
    Duration budget = manner == Manner.BUSY ? BUDGET : Duration.ofSeconds(30);
    return List.of(
        HandlerDefinition.oneByOne(EACH, (event, context) -> handle(EACH, event, context))
            .on(CrashEvent.PLAIN, CrashEvent.FOLLOW_UP)
            .withMaxBatch(20)
            .withTimeBudget(budget)
            .withRetry(quick),
        HandlerDefinition.batch(
                BATCH,
                (events, context) -> {
                  effect(context.connection(), BATCH, events);
                  for (Event event : events) {
                    if (temper(event) == Temper.FAILS_ONCE && context.attempt(event) == 1) {
                      throw new IllegalStateException("fails once");
                    }
                    if (hasFollowUp(event)) {
                      context.emit(CrashEvent.followUp(n(event), BATCH), event);
                    }
                  }
                })
            .on("crash.*")
            .withMaxBatch(200)
            .withTimeBudget(budget)
            .withRetry(quick),
        HandlerDefinition.oneByOne(ORDERED, (event, context) -> handle(ORDERED, event, context))
            .on(CrashEvent.KEYED)
            .withMaxBatch(20)
            .withTimeBudget(budget)
            .withRetry(quick)
            .ordered(Order.byKey().withLanes(8)),
        HandlerDefinition.leased(LEASED, this::handle)
            .on(CrashEvent.LEASED)
            .withLease(LEASE)
            .withRetry(quick));
  }

  private Outcome handle(String handler, Event event, HandlerContext context) throws SQLException {
    effect(context.connection(), handler, List.of(event));
    if (hasFollowUp(event)) {
      context.emit(CrashEvent.followUp(n(event), handler));
    }
    return outcome(event, context.attempt());
  }

  /**
   * Elsewhere at once, here with the acknowledgement. Whatever becomes of its lease, it is done.
   */
  private Outcome handle(Event event, LeaseContext context) throws SQLException {
    int call = calls.incrementAndGet();
    marker.set(slot(), Marker.Place.IN_HANDLER, call);
    callElsewhere(event, context);
    for (int i = 0; i < LEASED_PAUSES; i++) {
      pause();
    }
    context.complete(
        connection -> insert(connection, LEASED, List.of(event), call, context.fence()));
    if (hasFollowUp(event)) {
      context.emit(CrashEvent.followUp(n(event), LEASED));
    }
    marker.set(slot(), Marker.Place.AFTER_EFFECT, call);
    return outcome(event, context.attempt());
  }

  private void callElsewhere(Event event, LeaseContext context) throws SQLException {
    Connection connection = elsewhere.get(Thread.currentThread());
    if (connection == null) {
      connection = DriverManager.getConnection(url);
      elsewhere.put(Thread.currentThread(), connection);
    }
    try (PreparedStatement insert =
        connection.prepareStatement(
            "insert into crash_calls (event_id, idempotency_key, fence, attempt, worker) values (?, ?, ?, ?, ?)")) {
      insert.setString(1, event.id());
      insert.setString(2, context.idempotencyKey());
      insert.setLong(3, context.fence());
      insert.setInt(4, context.attempt());
      insert.setString(5, name);
      insert.executeUpdate();
    } catch (SQLException e) {
      elsewhere.remove(Thread.currentThread());
      connection.close();
      throw e;
    }
  }

  private static Outcome outcome(Event event, int attempt) {
    boolean isFirst = attempt == 1;
    return switch (temper(event)) {
      case FAILS_ONCE -> {
        if (isFirst) {
          throw new IllegalStateException("fails once");
        }
        yield Outcome.done();
      }
      case RETRIES_ONCE -> isFirst ? Outcome.retry("retries once") : Outcome.done();
      case SNOOZES ->
          ThreadLocalRandom.current().nextBoolean()
              ? Outcome.snooze(Duration.ofMillis(20))
              : Outcome.done();
      case DEAD_ONCE -> isFirst ? Outcome.dead("until it is redriven") : Outcome.done();
      case DEAD -> Outcome.dead("for good");
      case CANCELS -> Outcome.cancel("need not run");
      case CALM -> Outcome.done();
    };
  }

  private static Temper temper(Event event) {
    return isFollowUp(event) ? Temper.CALM : CrashEvent.temper(n(event));
  }

  private static boolean hasFollowUp(Event event) {
    return !isFollowUp(event) && CrashEvent.hasFollowUp(n(event));
  }

  private static boolean isFollowUp(Event event) {
    return event.type().equals(CrashEvent.FOLLOW_UP);
  }

  private void effect(Connection connection, String handler, List<Event> events)
      throws SQLException {
    int call = calls.incrementAndGet();
    marker.set(slot(), Marker.Place.IN_HANDLER, call);
    pause();
    insert(connection, handler, events, call, 0);
    marker.set(slot(), Marker.Place.AFTER_EFFECT, call);
    pause();
  }

  private void insert(
      Connection connection, String handler, List<Event> events, int call, long fence)
      throws SQLException {
    try (PreparedStatement insert =
        connection.prepareStatement(
            "insert into crash_effects (handler, n, event_id, digest, worker, call, fence) values (?, ?, ?, ?, ?, ?, ?)")) {
      for (Event event : events) {
        insert.setString(1, handler);
        insert.setInt(2, n(event));
        insert.setString(3, event.id());
        insert.setString(4, event.payload().tree().get("check").textValue());
        insert.setString(5, name);
        insert.setInt(6, call);
        insert.setLong(7, fence);
        insert.addBatch();
      }
      insert.executeBatch();
    }
  }

  /** An impolite one: an interrupt ends the wait, but not the handler. */
  private void pause() {
    LockSupport.parkNanos(manner.pause.toNanos());
  }

  /**
   * The engine numbers its slots and its places for leases from 1, in the names of their threads.
   */
  private static int slot() {
    String thread = Thread.currentThread().getName();
    int number = Integer.parseInt(thread.substring(thread.lastIndexOf('-') + 1)) - 1;
    return thread.contains("lease") ? Marker.SLOTS + number : number;
  }

  private static int n(Event event) {
    return event.payload().tree().get("n").intValue();
  }
}
