package dev.cortex.events.operate;

import dev.cortex.events.event.Priority;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** Reads the columns of a row in the types of our records. */
record Columns(ResultSet row) {

  Optional<String> optional(String column) throws SQLException {
    return Optional.ofNullable(row.getString(column));
  }

  Optional<Integer> number(String column) throws SQLException {
    int number = row.getInt(column);
    return row.wasNull() ? Optional.empty() : Optional.of(number);
  }

  Optional<Instant> moment(String column) throws SQLException {
    @Nullable OffsetDateTime moment = row.getObject(column, OffsetDateTime.class);
    return Optional.ofNullable(moment).map(OffsetDateTime::toInstant);
  }

  Instant certainMoment(String column) throws SQLException {
    return row.getObject(column, OffsetDateTime.class).toInstant();
  }

  /** Stated or not: what is not stated is handled as medium. */
  Priority priority(String column) throws SQLException {
    @Nullable String label = row.getString(column);
    return label == null ? Priority.MEDIUM : Priority.of(label);
  }

  List<String> texts(String column) throws SQLException {
    return List.of((String[]) row.getArray(column).getArray());
  }
}
