package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import java.sql.Connection;
import java.sql.SQLException;

/**
 * Whether a check of what another handler records has to wait: while that one has had events due
 * for more than a second, what it has not recorded yet would be told as missing.
 */
final class Backlog {
  /** Parameters: the handler that records; when the check was received; a setting. */
  private static final String HAS_TO_WAIT =
      """
      select exists (
               select from cortex.queue_status q
                where q.handler = ?
                  and q.oldest_due < clock_timestamp() - interval '1 second')
         and ? > clock_timestamp() - fleet.period(?)
      """;

  private Backlog() {}

  /**
   * Until the check is itself too old.
   *
   * @param handler who records
   * @param longest the setting that says how long a check waits at most
   */
  static boolean hasToWait(Connection connection, Event check, String handler, String longest)
      throws SQLException {
    return Sql.rows(
            connection, HAS_TO_WAIT, row -> row.getBoolean(1), handler, check.receivedAt(), longest)
        .get(0);
  }
}
