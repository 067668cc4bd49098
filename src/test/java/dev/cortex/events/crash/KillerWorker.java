package dev.cortex.events.crash;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.handler.RetryPolicy;
import java.sql.PreparedStatement;
import java.time.Duration;
import java.util.List;

/** A worker process with a handler that ends the JVM when an event says so. */
final class KillerWorker {
  static final String HANDLER = "killed";
  static final String TYPE = "crash.killer";
  static final int MAX_ATTEMPTS = 3;
  static final int EXIT_STATUS = 99;

  private KillerWorker() {}

  /** Argument: URL. Ends at the end of its input. */
  public static void main(String[] arguments) throws Exception {
    HandlerDefinition handler =
        HandlerDefinition.oneByOne(
                HANDLER,
                (event, context) -> {
                  try (PreparedStatement insert =
                      context
                          .connection()
                          .prepareStatement("insert into killer_effects (event_id) values (?)")) {
                    insert.setString(1, event.id());
                    insert.executeUpdate();
                  }
                  if (event.payload().text().contains("kill")) {
                    Runtime.getRuntime().halt(EXIT_STATUS);
                  } else if (event.payload().text().contains("exit")) {
                    System.exit(EXIT_STATUS);
                  }
                  return Outcome.done();
                })
            .on(TYPE)
            .withRetry(
                RetryPolicy.defaults()
                    .withMaxAttempts(MAX_ATTEMPTS)
                    .withDelays(Duration.ofMillis(1), Duration.ofMillis(2)));
    try (CortexEvents cortex = CortexEvents.connect(arguments[0])) {
      cortex.work(List.of(handler));
      while (System.in.read() >= 0) {}
    }
  }
}
