package dev.cortex.events.archive;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.TestDatabase;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import javax.sql.DataSource;
import org.awaitility.Awaitility;

/** A log with months that are long over, made by plain SQL as the owner. */
final class TestLog implements AutoCloseable {
  static final String ROLE = "cortex_owner";

  private final TestDatabase database;
  private final CortexEvents owner;
  private final DataSource source;

  TestLog(TestDatabase database) {
    this.database = database;
    this.owner = CortexEvents.connect(database.address()).as(ROLE);
    this.source = owner.connections(8);
  }

  DataSource source() {
    return source;
  }

  Connection open() throws SQLException {
    Connection connection = database.connection();
    run(connection, "set role cortex_owner");
    connection.setAutoCommit(false);
    return connection;
  }

  /** Makes a month of the log and of the audit, such as 2025_01. */
  void month(String month) throws SQLException {
    for (String parent : List.of("events", "attempts")) {
      run(
          "create table cortex.%1$s_%2$s (like cortex.%1$s including defaults including constraints)"
              .formatted(parent, month));
      run(
          """
          do $$ begin
            execute format('alter table cortex.%1$s attach partition cortex.%1$s_%2$s for values from (%%L) to (%%L)',
                           to_timestamp('%2$s +00', 'YYYY_MM TZH'),
                           (to_timestamp('%2$s +00', 'YYYY_MM TZH') at time zone 'UTC' + interval '1 month') at time zone 'UTC');
          end $$
          """
              .formatted(parent, month));
    }
  }

  void run(String sql, Object... parameters) throws SQLException {
    try (Connection connection = source.getConnection()) {
      run(connection, sql, parameters);
    }
  }

  static void run(Connection connection, String sql, Object... parameters) throws SQLException {
    try (PreparedStatement statement = prepared(connection, sql, parameters)) {
      statement.execute();
    }
  }

  List<String> rows(String sql, Object... parameters) throws SQLException {
    try (Connection connection = source.getConnection()) {
      return rows(connection, sql, parameters);
    }
  }

  static List<String> rows(Connection connection, String sql, Object... parameters)
      throws SQLException {
    List<String> found = new ArrayList<>();
    try (PreparedStatement statement = prepared(connection, sql, parameters);
        ResultSet row = statement.executeQuery()) {
      while (row.next()) {
        found.add(row.getString(1));
      }
    }
    return found;
  }

  String text(String sql, Object... parameters) throws SQLException {
    return rows(sql, parameters).get(0);
  }

  private static PreparedStatement prepared(Connection connection, String sql, Object... parameters)
      throws SQLException {
    PreparedStatement statement = connection.prepareStatement(sql);
    for (int i = 0; i < parameters.length; i++) {
      statement.setObject(i + 1, parameters[i]);
    }
    return statement;
  }

  /** Waits until this question is answered by t. */
  void await(String question, Object... parameters) {
    Awaitility.await()
        .atMost(Duration.ofMinutes(1))
        .pollInterval(Duration.ofMillis(5))
        .until(() -> rows(question, parameters).equals(List.of("t")));
  }

  @Override
  public void close() {
    owner.close();
  }
}
