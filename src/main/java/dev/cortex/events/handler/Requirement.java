package dev.cortex.events.handler;

import java.sql.Connection;
import java.sql.SQLException;

/** What a handler needs of the database, looked at before its worker starts. */
@FunctionalInterface
public interface Requirement {
  /** Throws what says what is missing; the worker then does not start. */
  void check(Connection connection) throws SQLException;
}
