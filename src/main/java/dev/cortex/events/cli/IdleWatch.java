package dev.cortex.events.cli;

import dev.cortex.events.database.DatabaseAddress;
import dev.cortex.events.database.DatabaseFault;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.concurrent.TimeUnit;
import javax.sql.DataSource;

/**
 * Waits until nobody but holders has had a session on the server for some time. Survives the
 * server's restarts: a look that fails finds no use, unless the server is too busy to answer it.
 */
final class IdleWatch {
  private static final Duration LOOK = Duration.ofSeconds(15);

  /** The sessions of this name hold the server for others and are no use of their own. */
  static final String HOLDER = "cortex-holder";

  /**
   * One boolean. Only what every login may see of the sessions of others: the server's own
   * processes have no database, or no user.
   */
  private static final String IS_USED =
      """
      select exists (
        select from pg_catalog.pg_stat_activity a
         where a.datid is not null
           and a.usesysid is not null
           and a.application_name <> '%s')
      """
          .formatted(HOLDER);

  private final DataSource database;
  private final Duration idle;

  IdleWatch(DatabaseAddress address, Duration idle) {
    this.database = address.withApplicationName(HOLDER).dataSource();
    this.idle = idle;
  }

  /** Ends early when told to stop. */
  void await(StopSignals stop) throws InterruptedException {
    long lastUse = System.nanoTime();
    while (System.nanoTime() - lastUse < idle.toNanos()
        && !stop.awaitAsked(LOOK.toMillis(), TimeUnit.MILLISECONDS)) {
      if (isUsed()) {
        lastUse = System.nanoTime();
      }
    }
  }

  boolean isUsed() {
    try (Connection connection = database.getConnection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(IS_USED)) {
      return row.next() && row.getBoolean(1);
    } catch (SQLException e) {
      return DatabaseFault.of(e).filter(DatabaseFault.EXHAUSTED::equals).isPresent();
    }
  }
}
