package dev.cortex.events.worker;

import dev.cortex.events.schedule.Fire;
import dev.cortex.events.schedule.Firing;
import dev.cortex.events.schedule.Timekeeper;
import dev.cortex.events.telemetry.EngineEvent;
import dev.cortex.events.telemetry.Telemetry;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import javax.sql.DataSource;

/** Fires the schedules that are due, beside every other worker. Confined to its loop's thread. */
final class ScheduleStep implements Loop.Step {
  /** How soon a schedule that is new, or was changed, is noticed. */
  private static final Duration LONGEST_REST = Duration.ofSeconds(10);

  /** A server clock that stands still, or a tick that is locked elsewhere, costs no busy loop. */
  private static final Duration SHORTEST_REST = Duration.ofMillis(20);

  private final DataSource pool;
  private final Timekeeper timekeeper = new Timekeeper();
  private final Telemetry telemetry;

  ScheduleStep(DataSource pool, Telemetry telemetry) {
    this.pool = pool;
    this.telemetry = telemetry;
  }

  @Override
  public Duration take() throws SQLException {
    try (Connection connection = pool.getConnection()) {
      connection.setAutoCommit(false);
      Firing firing = timekeeper.fireDue(connection);
      connection.commit();
      for (Fire fire : firing.fires()) {
        telemetry.record(
            new EngineEvent.ScheduleFired(fire.schedule(), fire.tick(), fire.eventId()));
      }
      Duration rest = firing.untilNext().orElse(LONGEST_REST);
      return rest.compareTo(LONGEST_REST) > 0
          ? LONGEST_REST
          : rest.compareTo(SHORTEST_REST) < 0 ? SHORTEST_REST : rest;
    }
  }
}
