package dev.cortex.events.cli;

import dev.cortex.events.database.TestDatabase;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.concurrent.atomic.AtomicInteger;
import org.jspecify.annotations.Nullable;

/** A handler with a type that no other test emits, and what has become of its deliveries. */
final class TestSubscription {
  private static final AtomicInteger NUMBERS = new AtomicInteger();

  private final TestDatabase database;
  private final int number = NUMBERS.incrementAndGet();

  private TestSubscription(TestDatabase database) {
    this.database = database;
  }

  /** Makes both known. */
  static TestSubscription in(TestDatabase database) throws SQLException {
    TestSubscription subscription = new TestSubscription(database);
    subscription.run("insert into cortex.event_types (type) values (?)", subscription.type());
    subscription.run(
        "select cortex.register_handler(?, 'transactional', 20::smallint, '30 s', array[?])",
        subscription.handler(),
        subscription.type());
    return subscription;
  }

  String handler() {
    return "cli-handler-" + number;
  }

  String type() {
    return "cli.type" + number;
  }

  /** Makes every delivery of the handler a dead letter, as its last attempt would. */
  void kill(String error) throws SQLException {
    run(
        """
        with dead as (
          update cortex.deliveries set run_at = 'infinity', attempt = 20
           where handler_id = (select handler_id from cortex.handlers where name = ?)
          returning *)
        insert into cortex.attempts
               (event, event_at, started_at, outcome, handler_id, generation, attempt, reason, error)
        select event, event_at, now(), 'dead', handler_id, generation, attempt, 'handler_failed', ?
          from dead
        """,
        handler(),
        error);
  }

  /** Makes the handler ordered, with a dead event of the key and one behind it; returns the key. */
  String block(String key) throws SQLException {
    run(
        "delete from cortex.deliveries where handler_id ="
            + " (select handler_id from cortex.handlers where name = ?)",
        handler());
    run(
        "select cortex.order_handler(handler_id, 4::smallint, 'hold', '{}')"
            + " from cortex.handlers where name = ?",
        handler());
    run("select cortex.emit(?, 'test', key => ?)", type(), key);
    kill("no use");
    run("select cortex.emit(?, 'test', key => ?)", type(), key);
    run(
        """
        insert into cortex.blocked_keys (handler_id, lane, key, event, blocked_until)
        select handler_id, lane, key, event, run_at from cortex.deliveries
         where handler_id = (select handler_id from cortex.handlers where name = ?)
           and run_at = 'infinity'
        """,
        handler());
    return key;
  }

  /** The states of the deliveries that are not finished, each once. */
  String states() throws SQLException {
    return text(
        """
        select string_agg(distinct state, ',' order by state)
          from cortex.open_deliveries where handler = ?
        """,
        handler());
  }

  /** How many events of the type the log has. */
  long recorded() throws SQLException {
    return Long.parseLong(text("select count(*) from cortex.events where type = ?", type()));
  }

  void run(String sql, Object... arguments) throws SQLException {
    try (Connection connection = database.connection();
        PreparedStatement statement = prepared(connection, sql, arguments)) {
      statement.execute();
    }
  }

  String text(String sql, Object... arguments) throws SQLException {
    try (Connection connection = database.connection();
        PreparedStatement statement = prepared(connection, sql, arguments);
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
}
