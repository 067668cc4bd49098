package dev.cortex.events.operate;

import dev.cortex.events.database.DatabaseAddress;
import dev.cortex.events.database.TestDatabase;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import org.jspecify.annotations.Nullable;

/** A queue to operate on: types, handlers and events made by plain SQL as the owner. */
final class TestQueue {
  private final TestDatabase database;

  TestQueue(TestDatabase database) {
    this.database = database;
  }

  Operations operator() {
    return Operations.on(database.address("cortex_operator").dataSource());
  }

  Operations auditor() {
    return Operations.on(auditorAddress().dataSource());
  }

  DatabaseAddress auditorAddress() {
    return database.address("cortex_auditor");
  }

  Connection connection() throws SQLException {
    return database.connection();
  }

  /** A handler of its own for this type, which becomes known. */
  void handler(String handler, String type) throws SQLException {
    run("insert into cortex.event_types (type) values (?) on conflict do nothing", type);
    run(
        "select cortex.register_handler(?, 'transactional', 5::smallint, '30 s', array[?])",
        handler,
        type);
  }

  String emit(String type) throws SQLException {
    return text("select cortex.emit(?, 'test', '{\"n\": 1}')", type);
  }

  /** Makes every delivery to a handler a dead letter after five attempts. */
  void kill(String handler) throws SQLException {
    run(
        """
        update cortex.deliveries set run_at = 'infinity', attempt = 5
         where handler_id = (select handler_id from cortex.handlers where name = ?)
        """,
        handler);
  }

  void run(String sql, Object... arguments) throws SQLException {
    try (Connection connection = connection()) {
      run(connection, sql, arguments);
    }
  }

  static void run(Connection connection, String sql, Object... arguments) throws SQLException {
    try (PreparedStatement statement = prepared(connection, sql, arguments)) {
      statement.execute();
    }
  }

  String text(String sql, Object... arguments) throws SQLException {
    try (Connection connection = connection()) {
      return text(connection, sql, arguments);
    }
  }

  /** For use where nothing checked may be thrown. */
  void uncheckedRun(String sql) {
    uncheckedText(sql);
  }

  /** Of everybody's sessions, as only a superuser sees them. */
  String uncheckedText(String sql) {
    try (Connection connection = database.superuserAddress().dataSource().getConnection()) {
      return text(connection, sql);
    } catch (SQLException e) {
      throw new IllegalStateException(e);
    }
  }

  static String text(Connection connection, String sql, Object... arguments) throws SQLException {
    try (PreparedStatement statement = prepared(connection, sql, arguments);
        ResultSet row = statement.executeQuery()) {
      row.next();
      @Nullable String text = row.getString(1);
      return text == null ? "" : text;
    }
  }

  private static PreparedStatement prepared(Connection connection, String sql, Object... arguments)
      throws SQLException {
    PreparedStatement statement = connection.prepareStatement(sql);
    for (int i = 0; i < arguments.length; i++) {
      statement.setObject(i + 1, arguments[i]);
    }
    return statement;
  }

  /** Holds the deliveries to a handler as a worker's transaction does, on an open connection. */
  Connection claim(String handler) throws SQLException {
    Connection worker = connection();
    worker.setAutoCommit(false);
    run(
        worker,
        """
        select 1 from cortex.deliveries
         where handler_id = (select handler_id from cortex.handlers where name = ?)
           for update skip locked
        """,
        handler);
    return worker;
  }

  /** Acknowledges what {@link #claim} holds, and commits. */
  static void acknowledge(Connection worker, String handler) throws SQLException {
    run(
        worker,
        """
        with done as (
          delete from cortex.deliveries
           where handler_id = (select handler_id from cortex.handlers where name = ?)
          returning *)
        insert into cortex.attempts
               (event, event_at, started_at, outcome, handler_id, generation, attempt)
        select event, event_at, now(), 'done', handler_id, generation, attempt + 1 from done
        """,
        handler);
    worker.commit();
  }

  String states(String handler) throws SQLException {
    return text(
        """
        select string_agg(distinct state, ',' order by state)
          from cortex.open_deliveries where handler = ?
        """,
        handler);
  }
}
