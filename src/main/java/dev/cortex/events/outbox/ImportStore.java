package dev.cortex.events.outbox;

import dev.cortex.events.event.Defect;
import dev.cortex.events.event.EventDraft;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.Arrays;
import java.util.List;

/** What an import writes. */
final class ImportStore {
  /**
   * Records archived events. Parameters: the thirteen columns, an array each; whether handlers get
   * none of them. Result: how many were new. All or nothing. Needs EXECUTE only. Locks: those of
   * the fan-out.
   */
  private static final String RECORD =
      """
      select cortex.import_events(
        ?::text[], ?::text[], ?::text[]::jsonb[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[]::timestamptz[],
        ?::text[]::timestamptz[], ?::text[]::jsonb[], ?::text[], ?::text[], ?::text[]::jsonb[], ?)
      """;

  /**
   * Keeps what is no event, once. Parameters: origin, reason, detail, the first mebibyte, the size
   * in bytes, SHA-256 of all of it. Needs EXECUTE only. Locks: waits for another import of the same
   * bytes.
   */
  private static final String QUARANTINE = "select cortex.quarantine(?, ?, ?, ?, ?, ?)";

  private final Connection connection;

  ImportStore(Connection connection) {
    this.connection = connection;
  }

  /** Records all events or none; returns how many the log did not have. */
  int record(List<EventDraft> drafts, boolean logOnly) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(RECORD)) {
      EventColumn.bindArrays(statement, 1, EventColumn.ARCHIVED, drafts);
      statement.setBoolean(EventColumn.ARCHIVED.size() + 1, logOnly);
      try (ResultSet row = statement.executeQuery()) {
        row.next();
        return row.getInt(1);
      }
    }
  }

  void quarantine(String origin, Defect reason, String detail, Document document)
      throws SQLException {
    byte[] bytes = document.bytes();
    try (PreparedStatement statement = connection.prepareStatement(QUARANTINE)) {
      statement.setString(1, origin);
      statement.setString(2, reason.label());
      statement.setString(3, detail);
      statement.setBytes(4, Arrays.copyOf(bytes, Math.min(bytes.length, Document.KEPT_BYTES)));
      statement.setLong(5, document.size());
      statement.setBytes(6, document.digest());
      statement.execute();
    }
  }
}
