package dev.cortex.events.crash;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.event.Event;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.LeaseContext;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.telemetry.EngineEvent;
import dev.cortex.events.worker.Worker;
import dev.cortex.events.worker.WorkerOptions;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.locks.LockSupport;

/**
 * A worker of leased deliveries, to be killed or stopped. Each call leaves a trace that commits at
 * once, as an effect elsewhere does, and an effect that commits with the acknowledgement.
 */
final class LeaseWorker {
  static final String HANDLER = "crash-leased";
  static final String TYPE = "crash.leased";
  static final Duration LEASE = Duration.ofSeconds(4);

  /** No unique keys: what happens twice is to be seen twice. */
  static final String SETUP =
      """
      insert into cortex.event_types (type) values ('crash.leased') on conflict do nothing;
      select cortex.register_handler('crash-leased', 'leased', 20::smallint, '15 min', array['crash.leased']);
      create table if not exists lease_calls (event_id text, fence bigint, attempt int, worker text, called_at timestamptz default clock_timestamp());
      create table if not exists lease_effects (event_id text, fence bigint, worker text);
      create table if not exists blows (told_at timestamptz default clock_timestamp(), lease_ends_at timestamptz);
      grant all on lease_calls, lease_effects to public;
      """;

  /** What its handler does. */
  enum Manner {
    /** Works for a moment. */
    QUICK,
    /** Works for a tenth of a second. */
    BUSY,
    /** Works until its lease is lost, and acknowledges all the same. */
    STUBBORN,
    /** Works for a moment, and the cluster runs two at once at most. */
    LIMITED
  }

  private final String url;
  private final String name;
  private final Manner manner;

  private LeaseWorker(String url, String name, Manner manner) {
    this.url = url;
    this.name = name;
    this.manner = manner;
  }

  /**
   * Arguments: URL, a file that it leaves alone, name, manner. Begins at the first byte of its
   * input, ends at its end.
   */
  public static void main(String[] arguments) throws Exception {
    LeaseWorker self = new LeaseWorker(arguments[0], arguments[2], Manner.valueOf(arguments[3]));
    CortexEvents cortex = CortexEvents.connect(self.url).withTelemetry(LeaseWorker::tell);
    if (System.in.read() < 0) {
      return;
    }
    Worker worker =
        cortex.work(
            List.of(self.handler()),
            WorkerOptions.defaults().withSlots(1).withLeases(2).withName(self.name));
    System.out.println("ready " + worker.workerId());
    // At the end of its input, whoever is to kill it is dead itself.
    while (System.in.read() >= 0) {}
    Runtime.getRuntime().halt(1);
  }

  /** What the test waits for. */
  private static void tell(EngineEvent event) {
    if (event instanceof EngineEvent.LeaseLost || event instanceof EngineEvent.LeaseRefused) {
      System.out.println(event.getClass().getSimpleName());
    }
  }

  private HandlerDefinition handler() {
    HandlerDefinition definition =
        HandlerDefinition.leased(HANDLER, this::handle).on(TYPE).withLease(LEASE);
    return manner == Manner.LIMITED ? definition.withMaxRunning(2) : definition;
  }

  private Outcome handle(Event event, LeaseContext context) throws SQLException {
    try (Connection elsewhere = DriverManager.getConnection(url)) {
      write(
          elsewhere,
          "insert into lease_calls (event_id, fence, worker, attempt) values (?, ?, ?, "
              + context.attempt()
              + ")",
          event,
          context);
    }
    context.complete(
        connection ->
            write(connection, "insert into lease_effects values (?, ?, ?)", event, context));
    do {
      LockSupport.parkNanos(Duration.ofMillis(manner == Manner.BUSY ? 100 : 5).toNanos());
    } while (manner == Manner.STUBBORN && !context.isLost());
    return Outcome.done();
  }

  private void write(Connection connection, String sql, Event event, LeaseContext context)
      throws SQLException {
    try (PreparedStatement insert = connection.prepareStatement(sql)) {
      insert.setString(1, event.id());
      insert.setLong(2, context.fence());
      insert.setString(3, name);
      insert.executeUpdate();
    }
  }
}
