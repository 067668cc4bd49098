package dev.cortex.events.worker;

import dev.cortex.events.database.DatabaseFault;
import dev.cortex.events.telemetry.EngineEvent;
import dev.cortex.events.telemetry.Telemetry;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.HashMap;
import java.util.Map;
import javax.sql.DataSource;

/**
 * Goes on with back-fills and with handlers that are retiring, one bounded step each, beside every
 * other worker. Each step is a transaction of its own: one that fails is told by its handler's name
 * and rests, and the others go on. A loop of its own, since a step may wait for a lane. Confined to
 * its loop's thread.
 */
final class BackfillStep implements Loop.Step {
  /** A back-fill's rate is kept to over the seconds; this is how finely it is spread. */
  private static final Duration INTERVAL = Duration.ofMillis(100);

  /** Whoever keeps house wakes it while there is something to do. */
  private static final Duration REST = Duration.ofHours(1);

  private static final Duration REST_AFTER_FAILURE = Duration.ofSeconds(5);

  /** A step of one part. */
  @FunctionalInterface
  private interface Part {
    /** True when it is worth to go on soon. */
    boolean step() throws SQLException;
  }

  private final DataSource pool;
  private final HouseStore house;
  private final Telemetry telemetry;

  /** Until when parts rest, by their names: {@link System#nanoTime()}. */
  private final Map<String, Long> rests = new HashMap<>();

  BackfillStep(DataSource pool, HouseStore house, Telemetry telemetry) {
    this.pool = pool;
    this.house = house;
    this.telemetry = telemetry;
  }

  @Override
  public Duration take() throws SQLException {
    try (Connection connection = pool.getConnection()) {
      boolean hasMore = step("retirements", () -> house.stepRetirements(connection));
      for (String handler : house.backfills(connection)) {
        hasMore |= step("backfill-" + handler, () -> house.stepBackfill(connection, handler));
      }
      return hasMore ? INTERVAL : REST;
    }
  }

  /**
   * Takes a step of what does not rest; true when it is worth to look again soon. What took long
   * rests for as long, so that the others have at least half of the time.
   */
  private boolean step(String name, Part part) throws SQLException {
    long began = System.nanoTime();
    if (began - rests.getOrDefault(name, began) < 0) {
      return true;
    }
    try {
      boolean hasMore = part.step();
      long ended = System.nanoTime();
      rests.put(name, ended + (ended - began));
      return hasMore;
    } catch (SQLException e) {
      if (DatabaseFault.of(e).filter(DatabaseFault::isAbsence).isPresent()) {
        throw e;
      }
      telemetry.record(new EngineEvent.PartFailed(name, e));
      rests.put(name, System.nanoTime() + REST_AFTER_FAILURE.toNanos());
      return true;
    }
  }
}
