package dev.cortex.events.fleet;

import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;

/**
 * The expired rows of one of the fleet's tables: what is too old, and over. An open task, an
 * outcome that was not learned from, an open remediation, the newest scan of a target or the alert
 * of an episode that is there stays, however old it is: {@code fleet.is_needed} says so of each
 * table. A worker's own row is not among them, since more goes with it ({@link Cleanup}).
 *
 * @param table without its schema
 * @param moment the column that says how old a row is
 * @param keptFor the settings of which the longest says for how long it is kept
 */
record ExpiredRows(String table, String moment, List<String> keptFor) {
  private static final String RECORDS = "record_kept_for";

  /** Of every table that rows expire in; the steps of a task go with it. */
  static final List<ExpiredRows> ALL =
      List.of(
          of("stale_episodes", "ended_at", RECORDS),
          of("episodes", "last_seen_at", RECORDS, "alert_quiet_after"),
          of("alerts", "received_at", RECORDS),
          of("tasks", "received_at", RECORDS),
          of("task_outcomes", "received_at", RECORDS),
          of("failures", "received_at", RECORDS, "failure_window"),
          of("fixes", "last_at", RECORDS),
          of("restarts", "last_at", RECORDS, "restart_window"),
          of("patterns", "received_at", RECORDS),
          of("decisions", "received_at", RECORDS),
          of("vulnerabilities", "received_at", RECORDS),
          of("scans", "received_at", RECORDS),
          of("metrics", "minute", "metrics_kept_for"),
          of("startups", "checked_at", RECORDS),
          of("shutdowns", "checked_at", RECORDS),
          of("cleanups", "finished_at", RECORDS));

  private static final String REMOVE = "select fleet.remove_expired(?, ?, ?, ?)";

  private static ExpiredRows of(String table, String moment, String... keptFor) {
    return new ExpiredRows(table, moment, List.of(keptFor));
  }

  /** Removes them, so many at most; how many it were. */
  int remove(Connection connection, int max) throws SQLException {
    return Sql.rows(connection, REMOVE, row -> row.getInt(1), table, moment, keptFor, max).get(0);
  }
}
