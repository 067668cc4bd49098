package dev.cortex.events.fleet;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * Runs a handler's statements: parameters in, rows out. Lists go in as arrays of text, and so do
 * the fields of many rows ({@link #columns}), for {@code unnest} to make rows of again; the
 * statement casts. What is empty is null.
 */
final class Sql {
  private Sql() {}

  /** What is made of a row. */
  interface Reading<R> {
    R of(ResultSet row) throws SQLException;
  }

  /** How many rows it has changed. */
  static int update(Connection connection, String sql, @Nullable Object... parameters)
      throws SQLException {
    try (PreparedStatement statement = bound(connection, sql, parameters)) {
      return statement.executeUpdate();
    }
  }

  /** What it returns. */
  static <R> List<R> rows(
      Connection connection, String sql, Reading<R> reading, @Nullable Object... parameters)
      throws SQLException {
    List<R> rows = new ArrayList<>();
    try (PreparedStatement statement = bound(connection, sql, parameters);
        ResultSet row = statement.executeQuery()) {
      while (row.next()) {
        rows.add(reading.of(row));
      }
    }
    return rows;
  }

  /** One parameter for each of these fields: its value in every row. */
  @SafeVarargs
  static <T> Object[] columns(List<T> rows, Function<T, ?>... fields) {
    Object[] columns = new Object[fields.length];
    for (int i = 0; i < fields.length; i++) {
      List<@Nullable String> column = new ArrayList<>(rows.size());
      for (T row : rows) {
        column.add(text(fields[i].apply(row)));
      }
      columns[i] = column;
    }
    return columns;
  }

  private static @Nullable String text(Object value) {
    if (value instanceof Optional<?> optional) {
      return optional.map(Object::toString).orElse(null);
    }
    if (value instanceof OptionalLong optional) {
      return optional.isPresent() ? Long.toString(optional.getAsLong()) : null;
    }
    return value.toString();
  }

  private static PreparedStatement bound(
      Connection connection, String sql, @Nullable Object... parameters) throws SQLException {
    PreparedStatement statement = connection.prepareStatement(sql);
    for (int i = 0; i < parameters.length; i++) {
      statement.setObject(i + 1, value(connection, parameters[i]));
    }
    return statement;
  }

  private static @Nullable Object value(Connection connection, @Nullable Object parameter)
      throws SQLException {
    if (parameter instanceof List<?> texts) {
      return connection.createArrayOf("text", texts.toArray());
    }
    return parameter instanceof Instant moment ? moment.atOffset(ZoneOffset.UTC) : parameter;
  }
}
