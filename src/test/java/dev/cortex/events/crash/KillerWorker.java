package dev.cortex.events.crash;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.event.Event;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.handler.RetryPolicy;
import dev.cortex.events.worker.WorkerOptions;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;

/**
 * A worker process with a handler, of one or the other mode, that ends the JVM when an event says
 * so.
 */
final class KillerWorker {
  static final String HANDLER = "killed";
  static final String TYPE = "crash.killer";
  static final int MAX_ATTEMPTS = 3;
  static final int EXIT_STATUS = 99;

  private KillerWorker() {}

  /** Arguments: URL, mode. Ends at the end of its input. */
  public static void main(String[] arguments) throws Exception {
    HandlerDefinition handler =
        (arguments[1].equals("leased") ? leased() : transactional())
            .on(TYPE)
            .withRetry(
                RetryPolicy.defaults()
                    .withMaxAttempts(MAX_ATTEMPTS)
                    .withDelays(Duration.ofMillis(1), Duration.ofMillis(2)));
    try (CortexEvents cortex = CortexEvents.connect(arguments[0])) {
      cortex.work(List.of(handler), WorkerOptions.defaults().withLeases(1));
      while (System.in.read() >= 0) {}
    }
  }

  private static HandlerDefinition transactional() {
    return HandlerDefinition.oneByOne(
        HANDLER,
        (event, context) -> {
          effect(context.connection(), event);
          dieIfTold(event);
          return Outcome.done();
        });
  }

  private static HandlerDefinition leased() {
    return HandlerDefinition.leased(
            HANDLER,
            (event, context) -> {
              context.complete(connection -> effect(connection, event));
              dieIfTold(event);
              return Outcome.done();
            })
        .withLease(Duration.ofSeconds(1));
  }

  private static void effect(Connection connection, Event event) throws SQLException {
    try (PreparedStatement insert =
        connection.prepareStatement("insert into killer_effects (event_id) values (?)")) {
      insert.setString(1, event.id());
      insert.executeUpdate();
    }
  }

  private static void dieIfTold(Event event) {
    if (event.payload().text().contains("kill")) {
      Runtime.getRuntime().halt(EXIT_STATUS);
    } else if (event.payload().text().contains("exit")) {
      System.exit(EXIT_STATUS);
    }
  }
}
