package dev.cortex.events.demo;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;

/** Asks a database: parameters in, rows out. A list goes in as an array of text. */
final class Questions {
  private final Connection connection;

  Questions(Connection connection) {
    this.connection = connection;
  }

  /** What is made of a row. */
  interface Reading<T> {
    T of(ResultSet row) throws SQLException;
  }

  /** Of a question that has one row as its answer. */
  <T> T one(String sql, Reading<T> reading, Object... parameters) throws SQLException {
    return all(sql, reading, parameters).get(0);
  }

  <T> List<T> all(String sql, Reading<T> reading, Object... parameters) throws SQLException {
    List<T> rows = new ArrayList<>();
    try (PreparedStatement statement = bound(sql, parameters);
        ResultSet row = statement.executeQuery()) {
      while (row.next()) {
        rows.add(reading.of(row));
      }
    }
    return rows;
  }

  /** What has no answer. */
  void run(String sql, Object... parameters) throws SQLException {
    try (PreparedStatement statement = bound(sql, parameters)) {
      statement.execute();
    }
  }

  private PreparedStatement bound(String sql, Object... parameters) throws SQLException {
    PreparedStatement statement = connection.prepareStatement(sql);
    for (int i = 0; i < parameters.length; i++) {
      statement.setObject(i + 1, value(parameters[i]));
    }
    return statement;
  }

  private Object value(Object parameter) throws SQLException {
    return parameter instanceof List<?> texts
        ? connection.createArrayOf("text", texts.toArray())
        : parameter;
  }
}
