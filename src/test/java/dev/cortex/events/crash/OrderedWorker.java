package dev.cortex.events.crash;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.event.Event;
import dev.cortex.events.handler.HandlerContext;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Order;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.handler.RetryPolicy;
import dev.cortex.events.telemetry.Telemetry;
import java.io.IOException;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.ThreadLocalRandom;

/** A worker of one ordered handler, in a JVM of its own. One attempt in twenty fails. */
final class OrderedWorker {
  static final String TYPE = "order.load";

  static final HandlerDefinition HANDLER =
      HandlerDefinition.oneByOne("ordered-load", OrderedWorker::handle)
          .on(TYPE)
          .withMaxBatch(50)
          .withRetry(RetryPolicy.defaults().withDelays(Duration.ofMillis(1), Duration.ofMillis(50)))
          .ordered(Order.byKey().withLanes(8));

  private OrderedWorker() {}

  /** Works until its input ends. */
  public static void main(String[] arguments) throws Exception {
    try (CortexEvents cortex =
        CortexEvents.connect(arguments[0]).withTelemetry(Telemetry.silent())) {
      cortex.work(List.of(HANDLER));
      awaitEnd();
    }
  }

  private static void awaitEnd() throws IOException {
    while (System.in.read() >= 0) {
      // Nobody says anything.
    }
  }

  private static Outcome handle(Event event, HandlerContext context) throws SQLException {
    if (ThreadLocalRandom.current().nextInt(20) == 0) {
      return Outcome.retry("one in twenty");
    }
    try (PreparedStatement insert =
        context
            .connection()
            .prepareStatement(
                "insert into order_handled (key, event)"
                    + " select ?, id from cortex.locate_event(?)")) {
      insert.setString(1, event.key().orElseThrow());
      insert.setString(2, event.id());
      insert.executeUpdate();
    }
    return Outcome.done();
  }
}
