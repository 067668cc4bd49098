package dev.cortex.events.database;

import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.OptionalInt;

/**
 * Whether this program and the database's schema fit each other. A newer schema is accepted for as
 * long as it says that it still serves workers of our version, so that a fleet is upgraded database
 * first and worker by worker.
 */
public final class SchemaVersion {
  /** The schema version that this program was built for. */
  public static final int CURRENT = 6;

  /**
   * One boolean: does the table exist? Asked first, since a failing select aborts a transaction.
   */
  private static final String SCHEMA_EXISTS =
      """
      select exists (
        select from pg_catalog.pg_class c
        join pg_catalog.pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'cortex' and c.relname = 'settings')
      """;

  /** One row: the schema's version, and the oldest worker that may use it. */
  private static final String VERSIONS =
      "select schema_version, minimum_worker from cortex.settings";

  private SchemaVersion() {}

  /**
   * Refuses a database that this program cannot work on.
   *
   * @throws SchemaMismatchException if the schema is missing, too old, or no longer serves us
   */
  public static void require(Connection connection) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      if (!schemaExists(statement)) {
        throw missing();
      }
      try (ResultSet row = statement.executeQuery(VERSIONS)) {
        if (!row.next()) {
          throw missing();
        }
        check(row.getInt("schema_version"), row.getInt("minimum_worker"));
      }
    }
  }

  private static boolean schemaExists(Statement statement) throws SQLException {
    try (ResultSet row = statement.executeQuery(SCHEMA_EXISTS)) {
      return row.next() && row.getBoolean(1);
    }
  }

  private static void check(int schemaVersion, int minimumWorker) {
    if (schemaVersion < CURRENT) {
      throw new SchemaMismatchException(
          "schema version: must be at least "
              + CURRENT
              + ", but the database has "
              + schemaVersion
              + "; run `cortex migrate`",
          OptionalInt.of(schemaVersion));
    }
    if (minimumWorker > CURRENT) {
      throw new SchemaMismatchException(
          "worker version: the database (schema version "
              + schemaVersion
              + ") serves workers from "
              + minimumWorker
              + " on, but this program is "
              + CURRENT
              + "; upgrade it",
          OptionalInt.of(schemaVersion));
    }
  }

  private static SchemaMismatchException missing() {
    return new SchemaMismatchException(
        "schema cortex: must exist, but this database does not have it; run `cortex migrate`",
        OptionalInt.empty());
  }
}
