package dev.cortex.events.schedule;

import com.cronutils.model.CronType;
import com.cronutils.model.definition.CronDefinitionBuilder;
import com.cronutils.model.time.ExecutionTime;
import com.cronutils.parser.CronParser;
import java.time.DateTimeException;
import java.time.Instant;
import java.time.ZoneId;
import java.time.ZonedDateTime;
import java.time.temporal.ChronoUnit;
import java.util.Optional;

/**
 * A cron expression of five fields in a time zone: minute, hour, day of month, month, day of week
 * (0 and 7 are Sunday). Immutable.
 *
 * <p>Its ticks are those of the zone's wall clock. A time of day that daylight saving skips has no
 * tick on that day.
 */
final class CronExpression {
  private static final CronParser PARSER =
      new CronParser(CronDefinitionBuilder.instanceDefinitionFor(CronType.UNIX));

  private final ExecutionTime ticks;
  private final ZoneId zone;

  private CronExpression(ExecutionTime ticks, ZoneId zone) {
    this.ticks = ticks;
    this.zone = zone;
  }

  /**
   * Reads an expression.
   *
   * @throws InvalidScheduleException when the expression or the zone breaks a rule
   */
  static CronExpression parse(String schedule, String cron, String zone) {
    try {
      ZoneId zoneId = ZoneId.of(zone);
      return new CronExpression(ExecutionTime.forCron(PARSER.parse(cron)), zoneId);
    } catch (DateTimeException e) {
      throw new InvalidScheduleException(schedule, "zone", "must be a time zone", zone, e);
    } catch (IllegalArgumentException e) {
      throw new InvalidScheduleException(
          schedule, "cron", "must be five fields (" + e.getMessage() + ")", cron, e);
    }
  }

  /** The first tick after a moment; empty when there is none any more. */
  Optional<Instant> nextAfter(Instant moment) {
    return ticks.nextExecution(local(moment)).map(ZonedDateTime::toInstant);
  }

  /** The newest tick that is not after a moment; empty when there was none. */
  Optional<Instant> lastUntil(Instant moment) {
    // The library looks strictly before, and ticks are whole minutes.
    ZonedDateTime justAfter = local(moment).truncatedTo(ChronoUnit.MINUTES).plusSeconds(1);
    return ticks.lastExecution(justAfter).map(ZonedDateTime::toInstant);
  }

  /** A moment on the zone's wall clock. */
  ZonedDateTime local(Instant moment) {
    return moment.atZone(zone);
  }
}
