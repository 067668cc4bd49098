package dev.cortex.events.schedule;

import dev.cortex.events.event.Json;
import java.time.ZoneId;
import java.time.ZoneOffset;
import java.util.Optional;

/**
 * A schedule as its author declares it: when an event is emitted, and which. Every {@code with}
 * method returns a changed copy.
 *
 * <pre>{@code
 * ScheduleDefinition.of("nightly-report", "30 3 * * *", "report.requested")
 *     .withZone(ZoneId.of("Europe/Berlin"))
 *     .withPayload(Json.parse("payload", "{\"date\": \"$date\"}"))
 * }</pre>
 *
 * @param name unique in the database, 1 to 100 characters
 * @param cron five fields: minute, hour, day of month, month, day of week
 * @param zone whose wall clock the expression is about
 * @param type of the event, which must be a known one
 * @param payload of the event; {@code $date} in it stands for the tick's local date, as 2025-12-01
 * @param dedupeKey of the event; {@code $date} likewise
 * @param catchUp what becomes of ticks that nobody was there to fire
 */
public record ScheduleDefinition(
    String name,
    String cron,
    ZoneId zone,
    String type,
    Json payload,
    Optional<String> dedupeKey,
    CatchUp catchUp) {
  private static final int MAX_NAME_LENGTH = 100;

  /** Checks every rule that needs no look at the database. */
  public ScheduleDefinition {
    if (name.isBlank() || name.length() > MAX_NAME_LENGTH) {
      throw new InvalidScheduleException(name, "name", "must have 1 to 100 characters", name);
    }
    CronExpression.parse(name, cron, zone.getId());
  }

  /** A schedule by UTC whose event has an empty payload, and whose missed ticks fire once. */
  public static ScheduleDefinition of(String name, String cron, String type) {
    return new ScheduleDefinition(
        name, cron, ZoneOffset.UTC, type, Json.empty(), Optional.empty(), CatchUp.ONCE);
  }

  /** By the wall clock of this zone. */
  public ScheduleDefinition withZone(ZoneId zone) {
    return new ScheduleDefinition(name, cron, zone, type, payload, dedupeKey, catchUp);
  }

  /** With this payload in every event. */
  public ScheduleDefinition withPayload(Json payload) {
    return new ScheduleDefinition(name, cron, zone, type, payload, dedupeKey, catchUp);
  }

  /** With this dedupe key, which should hold {@code $date}. */
  public ScheduleDefinition withDedupeKey(String dedupeKey) {
    return new ScheduleDefinition(name, cron, zone, type, payload, Optional.of(dedupeKey), catchUp);
  }

  /** With this done about missed ticks; {@link CatchUp#ONCE} unless given. */
  public ScheduleDefinition withCatchUp(CatchUp catchUp) {
    return new ScheduleDefinition(name, cron, zone, type, payload, dedupeKey, catchUp);
  }
}
