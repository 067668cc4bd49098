package dev.cortex.events.worker;

import dev.cortex.events.spool.DrainSummary;
import dev.cortex.events.spool.Spool;
import dev.cortex.events.telemetry.EngineEvent;
import dev.cortex.events.telemetry.Telemetry;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import javax.sql.DataSource;

/** Delivers what waits in a spool. Confined to its loop's thread. */
final class SpoolStep implements Loop.Step {
  private static final Duration INTERVAL = Duration.ofSeconds(1);

  private final Spool spool;
  private final DataSource pool;
  private final Telemetry telemetry;

  SpoolStep(Spool spool, DataSource pool, Telemetry telemetry) {
    this.spool = spool;
    this.pool = pool;
    this.telemetry = telemetry;
  }

  @Override
  public Duration take() throws SQLException {
    if (!spool.isEmpty()) {
      try (Connection connection = pool.getConnection()) {
        DrainSummary done = spool.drain(connection);
        if (done.hasMoved()) {
          telemetry.record(
              new EngineEvent.SpoolDrained(done.delivered(), done.quarantined(), done.damaged()));
        }
      }
    }
    return INTERVAL;
  }
}
