package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.handler.BatchContext;
import dev.cortex.events.handler.HandlerContext;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.Optional;
import java.util.function.Predicate;
import org.jspecify.annotations.Nullable;

/**
 * What the fleet's handlers do for an event beside recording it, and for which events. One rule
 * holds for all of them:
 *
 * <ul>
 *   <li>Every event is recorded, a replay too, so that a replay rebuilds what was lost; recording
 *       twice is recording once.
 *   <li>What counts up, and a vulnerability that a scan tells of, is done for the original delivery
 *       only: of a replay it has been done.
 *   <li>What tells on what was recorded and is counted elsewhere (a routing decision, a pattern),
 *       likewise, and only for an event that was new when it was received: within {@code
 *       act_within} (1 day) of having happened. The history that an import brings, and a back-fill
 *       hands out, holds what was told then.
 *   <li>What acts on the world as it is (an alert, a restart, a new try, an answer) is done only
 *       for an event that is new: it is the original delivery, and happened within {@code
 *       act_within} ({@link Occurrence}), by the database's clock. A back-fill, an import that is
 *       delivered, or a dead letter that runs again, calls nobody for what is long over.
 *   <li>Nothing is told and nothing acted on where a script of the old system does so ({@link
 *       Scripts}).
 * </ul>
 *
 * <p>What does the same however often it is asked for ({@link Cleanup}, {@link ArchiveRequests},
 * {@link LearningCycle}) does it for whoever asks.
 */
final class NewEvents {

  /** One row, or one for each time that a type is left to a script. */
  private static final String LIMITS =
      """
      select clock_timestamp() - s.act_within as acted_on_since,
             (extract(epoch from s.act_within) * 1000000)::bigint as act_within_micros,
             l.type, l.starts_at, l.ends_at
        from fleet.settings s
        left join fleet.left_to_scripts l on true
      """;

  private NewEvents() {}

  /** From when until when a type is left to a script; without an end it still is. */
  private record Script(String type, Instant startsAt, Optional<Instant> endsAt) {
    boolean has(Event event) {
      return event.type().equals(type)
          && !event.receivedAt().isBefore(startsAt)
          && endsAt.filter(end -> !event.receivedAt().isBefore(end)).isEmpty();
    }
  }

  private record Limits(Instant actedOnSince, Duration actWithin, Optional<Script> script) {
    static Limits of(ResultSet row) throws SQLException {
      @Nullable String type = row.getString("type");
      return new Limits(
          row.getObject("acted_on_since", OffsetDateTime.class).toInstant(),
          Duration.of(row.getLong("act_within_micros"), ChronoUnit.MICROS),
          type == null
              ? Optional.empty()
              : Optional.of(
                  new Script(
                      type,
                      row.getObject("starts_at", OffsetDateTime.class).toInstant(),
                      Optional.ofNullable(row.getObject("ends_at", OffsetDateTime.class))
                          .map(OffsetDateTime::toInstant))));
    }

    boolean isToldOf(Event event) {
      return Occurrence.of(event).plus(actWithin).isAfter(event.receivedAt());
    }

    boolean isActedOn(Event event) {
      return Occurrence.of(event).isAfter(actedOnSince);
    }

    boolean isOurs(Event event) {
      return script.filter(one -> one.has(event)).isEmpty();
    }
  }

  /** Whether it is the delivery that the event was emitted for, and no replay. */
  static Predicate<Event> original(BatchContext context) {
    return event -> context.generation(event) == 0;
  }

  /** Whether what follows from it is to be told. */
  static Predicate<Event> toldOf(BatchContext context) throws SQLException {
    List<Limits> limits = limits(context.connection());
    return original(context)
        .and(event -> limits.get(0).isToldOf(event))
        .and(event -> limits.stream().allMatch(one -> one.isOurs(event)));
  }

  /** Whether it is to be acted on. */
  static Predicate<Event> actedOn(BatchContext context) throws SQLException {
    List<Limits> limits = limits(context.connection());
    return original(context)
        .and(event -> limits.get(0).isActedOn(event))
        .and(event -> limits.stream().allMatch(one -> one.isOurs(event)));
  }

  /** Whether it is to be acted on. */
  static boolean isActedOn(Event event, HandlerContext context) throws SQLException {
    List<Limits> limits = limits(context.connection());
    return context.generation() == 0
        && limits.get(0).isActedOn(event)
        && limits.stream().allMatch(one -> one.isOurs(event));
  }

  private static List<Limits> limits(Connection connection) throws SQLException {
    return Sql.rows(connection, LIMITS, Limits::of);
  }
}
