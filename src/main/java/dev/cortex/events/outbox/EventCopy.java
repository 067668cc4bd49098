package dev.cortex.events.outbox;

import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.InvalidEventException;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.Iterator;
import org.jspecify.annotations.Nullable;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyIn;

/** Emits a stream of events by one COPY, holding no more than a piece of it in memory. */
final class EventCopy {
  /** Sent at once; a larger piece is no faster. */
  private static final int PIECE_CHARACTERS = 64 * 1024;

  /**
   * Emits what follows in COPY's text format, one line per event. Needs INSERT on the columns.
   * Locks: those of the fan-out, which runs once, at the end.
   */
  private static final String COPY =
      """
      copy cortex.events (
        type, source, payload, correlation_id, priority, key, dedupe_key, run_at, occurred_at, metadata, event_id)
      from stdin
      """;

  /** One row: the database's time. COPY knows no default for single rows before PostgreSQL 16. */
  private static final String NOW = "select clock_timestamp()";

  private final Connection connection;

  EventCopy(Connection connection) {
    this.connection = connection;
  }

  /** Sends every draft; returns how many. */
  long copy(Iterator<EventDraft> drafts) throws SQLException {
    Instant now = now();
    CopyIn copy = connection.unwrap(PGConnection.class).getCopyAPI().copyIn(COPY);
    try {
      long count = send(copy, drafts, now);
      copy.endCopy();
      return count;
    } finally {
      if (copy.isActive()) {
        copy.cancelCopy();
      }
    }
  }

  private Instant now() throws SQLException {
    try (Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(NOW)) {
      row.next();
      return row.getObject(1, OffsetDateTime.class).toInstant();
    }
  }

  private static long send(CopyIn copy, Iterator<EventDraft> drafts, Instant now)
      throws SQLException {
    StringBuilder piece = new StringBuilder(2 * PIECE_CHARACTERS);
    long count = 0;
    while (drafts.hasNext()) {
      appendLine(piece, plain(drafts.next()), now);
      count++;
      if (piece.length() >= PIECE_CHARACTERS) {
        send(copy, piece);
      }
    }
    send(copy, piece);
    return count;
  }

  private static EventDraft plain(EventDraft draft) {
    if (draft.extensions().isPresent()) {
      throw new InvalidEventException("extensions", "may not be given to a COPY");
    }
    draft
        .causationId()
        .ifPresent(
            id -> {
              throw new InvalidEventException(
                  "causation_id", "may not be given to a COPY, which looks no cause up", id);
            });
    return draft;
  }

  private static void send(CopyIn copy, StringBuilder piece) throws SQLException {
    byte[] bytes = piece.toString().getBytes(StandardCharsets.UTF_8);
    copy.writeToCopy(bytes, 0, bytes.length);
    piece.setLength(0);
  }

  private static void appendLine(StringBuilder piece, EventDraft draft, Instant now) {
    for (EventColumn column : EventColumn.STATED) {
      if (column != EventColumn.STATED.get(0)) {
        piece.append('\t');
      }
      @Nullable String absent = column == EventColumn.OCCURRED_AT ? now.toString() : null;
      appendValue(piece, column.of(draft).orElse(absent));
    }
    piece.append('\n');
  }

  private static void appendValue(StringBuilder piece, @Nullable String value) {
    if (value == null) {
      piece.append("\\N");
      return;
    }
    for (int i = 0; i < value.length(); i++) {
      char character = value.charAt(i);
      switch (character) {
        case '\\' -> piece.append("\\\\");
        case '\n' -> piece.append("\\n");
        case '\r' -> piece.append("\\r");
        case '\t' -> piece.append("\\t");
        default -> piece.append(character);
      }
    }
  }
}
