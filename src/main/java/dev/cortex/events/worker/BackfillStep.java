package dev.cortex.events.worker;

import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import javax.sql.DataSource;

/**
 * Goes on with back-fills and with handlers that are retiring, one bounded step each, beside every
 * other worker. A loop of its own, since a step may wait for a lane. Confined to its loop's thread.
 */
final class BackfillStep implements Loop.Step {
  /** A back-fill's rate is kept to over the seconds; this is how finely it is spread. */
  private static final Duration INTERVAL = Duration.ofMillis(100);

  /** Whoever keeps house wakes it while there is something to do. */
  private static final Duration REST = Duration.ofHours(1);

  private final DataSource pool;
  private final HouseStore house;

  BackfillStep(DataSource pool, HouseStore house) {
    this.pool = pool;
    this.house = house;
  }

  @Override
  public Duration take() throws SQLException {
    try (Connection connection = pool.getConnection()) {
      return house.backfillAndRetire(connection) ? INTERVAL : REST;
    }
  }
}
