package dev.cortex.events.demo;

import dev.cortex.events.event.Event;
import dev.cortex.events.handler.HandlerContext;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.handler.RetryPolicy;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.locks.LockSupport;

/** A handler whose effects can be counted, and which fails when the payload says so. */
public final class DemoHandlers {
  /** Its name in the views. */
  public static final String NAME = "demo-effects";

  static final int MAX_ATTEMPTS = 4;

  /** In the payload: how many attempts are to fail, as a text. */
  static final String FAILURES = "demo_failures";

  /** What an attempt pretends to work. */
  private static final Duration WORK = Duration.ofMillis(1);

  /** One row per effect. There is no unique key: one that is made twice is seen twice. */
  private static final String WRITE =
      """
      insert into demo.effects (event_id, attempt) values (?, ?)
      """;

  private DemoHandlers() {}

  /** All of them. They need what {@link Demo} makes in the schema {@code demo}. */
  public static List<HandlerDefinition> all() {
    return List.of(
        HandlerDefinition.oneByOne(NAME, DemoHandlers::handle)
            .on("task.completed", "task.failed")
            .withRetry(
                RetryPolicy.defaults()
                    .withMaxAttempts(MAX_ATTEMPTS)
                    .withDelays(Duration.ofMillis(200), Duration.ofSeconds(1))));
  }

  /** Writes first and fails afterwards, so that a failed attempt has something to take back. */
  private static Outcome handle(Event event, HandlerContext context) throws SQLException {
    try (PreparedStatement statement = context.connection().prepareStatement(WRITE)) {
      statement.setString(1, event.id());
      statement.setInt(2, context.attempt());
      statement.executeUpdate();
    }
    LockSupport.parkNanos(WORK.toNanos());
    int failures = event.payload().string(FAILURES).map(Integer::parseInt).orElse(0);
    return context.attempt() <= failures
        ? Outcome.retry("simulated failure " + context.attempt() + " of " + failures)
        : Outcome.done();
  }
}
