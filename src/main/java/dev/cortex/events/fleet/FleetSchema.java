package dev.cortex.events.fleet;

import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

/** Whether the fleet's handlers and the schema {@code fleet} fit each other. */
final class FleetSchema {
  /** The version that the handlers were built for. */
  static final int CURRENT = 5;

  /**
   * One boolean: is there a version? Asked first, since a failing select aborts a transaction. The
   * first schemas had none.
   */
  private static final String HAS_VERSION =
      """
      select exists (
        select from pg_catalog.pg_attribute a
        join pg_catalog.pg_class c on c.oid = a.attrelid
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'fleet' and c.relname = 'settings' and a.attname = 'schema_version')
      """;

  private static final String VERSION = "select schema_version from fleet.settings";

  private FleetSchema() {}

  /**
   * Refuses a database that the fleet's handlers would fail on.
   *
   * @throws FleetMismatchException if the schema is missing or too old
   */
  static void require(Connection connection) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      if (!hasVersion(statement)) {
        throw new FleetMismatchException("no version of it");
      }
      try (ResultSet row = statement.executeQuery(VERSION)) {
        int version = row.next() ? row.getInt(1) : 0;
        if (version < CURRENT) {
          throw new FleetMismatchException("version " + version);
        }
      }
    }
  }

  private static boolean hasVersion(Statement statement) throws SQLException {
    try (ResultSet row = statement.executeQuery(HAS_VERSION)) {
      return row.next() && row.getBoolean(1);
    }
  }
}
