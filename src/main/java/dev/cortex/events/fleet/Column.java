package dev.cortex.events.fleet;

import java.sql.Array;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/** One field of many rows as an SQL array, for {@code unnest} to make rows of again. */
final class Column {
  private Column() {}

  /** The texts of this field; instants too, which the statement casts. */
  static <T> Array texts(Connection connection, List<T> rows, Function<T, @Nullable Object> field)
      throws SQLException {
    @Nullable String[] texts = new @Nullable String[rows.size()];
    for (int i = 0; i < texts.length; i++) {
      @Nullable Object value = field.apply(rows.get(i));
      texts[i] = value == null ? null : value.toString();
    }
    return connection.createArrayOf("text", texts);
  }
}
