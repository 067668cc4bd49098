package dev.cortex.events.outbox;

import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Savepoint;

/**
 * Makes several statements on a caller's connection one: all of them take effect, or none. In an
 * open transaction by a savepoint; on a connection in autocommit by a transaction of its own.
 */
final class AllOrNothing {
  /** Statements that may fail. */
  interface Work<T> {
    T run() throws SQLException;
  }

  private AllOrNothing() {}

  static <T> T on(Connection connection, Work<T> work) throws SQLException {
    return connection.getAutoCommit()
        ? inTransaction(connection, work)
        : inSavepoint(connection, work);
  }

  private static <T> T inTransaction(Connection connection, Work<T> work) throws SQLException {
    connection.setAutoCommit(false);
    boolean committed = false;
    try {
      T result = work.run();
      connection.commit();
      committed = true;
      return result;
    } finally {
      if (!committed) {
        connection.rollback();
      }
      connection.setAutoCommit(true);
    }
  }

  /** Released after the rollback too, lest it stay in the way of the caller's own savepoints. */
  static <T> T inSavepoint(Connection connection, Work<T> work) throws SQLException {
    Savepoint before = connection.setSavepoint();
    boolean kept = false;
    try {
      T result = work.run();
      kept = true;
      return result;
    } finally {
      if (!kept) {
        connection.rollback(before);
      }
      connection.releaseSavepoint(before);
    }
  }
}
