package dev.cortex.events.cli;

import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import javax.sql.DataSource;

/** Waits until nobody but ourselves has had a session on the server for some time. */
final class IdleWatch {
  private static final Duration LOOK = Duration.ofSeconds(15);

  private static final String IS_USED =
      """
      select exists (
        select from pg_catalog.pg_stat_activity a
         where a.backend_type = 'client backend'
           and a.pid <> pg_backend_pid())
      """;

  private final DataSource database;
  private final Duration idle;

  IdleWatch(DataSource database, Duration idle) {
    this.database = database;
    this.idle = idle;
  }

  /** Ends early when told to stop. */
  void await(StopSignals stop) throws SQLException, InterruptedException {
    long lastUse = System.nanoTime();
    while (!stop.isAsked() && System.nanoTime() - lastUse < idle.toNanos()) {
      DatabaseCommand.pause(stop, LOOK);
      if (isUsed()) {
        lastUse = System.nanoTime();
      }
    }
  }

  private boolean isUsed() throws SQLException {
    try (Connection connection = database.getConnection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(IS_USED)) {
      return row.next() && row.getBoolean(1);
    }
  }
}
