package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.handler.BatchContext;
import dev.cortex.events.handler.HandlerContext;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.function.Predicate;

/**
 * What the fleet's handlers do for an event beside recording it, and for which events. One rule
 * holds for all of them:
 *
 * <ul>
 *   <li>Every event is recorded, a replay too, so that a replay rebuilds what was lost; recording
 *       twice is recording once.
 *   <li>What counts up, and what tells on what was recorded (a routing decision, a pattern, a
 *       vulnerability), is done for the original delivery only: of a replay it has been done.
 *   <li>What acts on the world as it is (an alert, a restart, a new try, an answer) is done only
 *       for an event that is new: it is the original delivery, and happened within {@code
 *       act_within} (1 day, {@link Occurrence}), by the database's clock. A back-fill, an import
 *       that is delivered, or a dead letter that runs again, calls nobody for what is long over.
 * </ul>
 *
 * <p>What does the same however often it is asked for ({@link Cleanup}, {@link ArchiveRequests},
 * {@link LearningCycle}) does it for whoever asks.
 */
final class NewEvents {
  private static final String ACTED_ON_SINCE =
      "select clock_timestamp() - s.act_within from fleet.settings s";

  private NewEvents() {}

  /** Whether it is the delivery that the event was emitted for, and no replay. */
  static Predicate<Event> original(BatchContext context) {
    return event -> context.generation(event) == 0;
  }

  /** Whether it is to be acted on. */
  static Predicate<Event> actedOn(BatchContext context) throws SQLException {
    Instant since = actedOnSince(context.connection());
    return original(context).and(event -> Occurrence.of(event).isAfter(since));
  }

  /** Whether it is to be acted on. */
  static boolean isActedOn(Event event, HandlerContext context) throws SQLException {
    return context.generation() == 0
        && Occurrence.of(event).isAfter(actedOnSince(context.connection()));
  }

  private static Instant actedOnSince(Connection connection) throws SQLException {
    return Sql.rows(
            connection, ACTED_ON_SINCE, row -> row.getObject(1, OffsetDateTime.class).toInstant())
        .get(0);
  }
}
