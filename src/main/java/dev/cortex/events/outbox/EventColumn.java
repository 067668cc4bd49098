package dev.cortex.events.outbox;

import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Json;
import dev.cortex.events.event.Priority;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Instant;
import java.util.EnumSet;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * The columns that a draft fills, in the order in which every statement of this package names them,
 * each with the text that PostgreSQL reads for it.
 */
enum EventColumn {
  TYPE,
  SOURCE,
  PAYLOAD,
  CORRELATION_ID,
  PRIORITY,
  KEY,
  DEDUPE_KEY,
  RUN_AT,
  OCCURRED_AT,
  METADATA,
  EVENT_ID,
  CAUSATION_ID,
  EXTENSIONS;

  /** What an emitter may state. */
  static final List<EventColumn> STATED = List.copyOf(EnumSet.range(TYPE, EVENT_ID));

  /** The same and the cause. */
  static final List<EventColumn> CAUSED = List.copyOf(EnumSet.range(TYPE, CAUSATION_ID));

  /** All. */
  static final List<EventColumn> ALL = List.copyOf(EnumSet.range(TYPE, EXTENSIONS));

  /** What PostgreSQL reads for this column of the draft; empty: null. */
  Optional<String> of(EventDraft draft) {
    return switch (this) {
      case TYPE -> Optional.of(draft.type());
      case SOURCE -> Optional.of(draft.source());
      case PAYLOAD -> draft.payload().map(Json::text);
      case CORRELATION_ID -> draft.correlationId();
      case PRIORITY -> draft.priority().map(Priority::label);
      case KEY -> draft.key();
      case DEDUPE_KEY -> draft.dedupeKey();
      case RUN_AT -> draft.runAt().map(Instant::toString);
      case OCCURRED_AT -> draft.occurredAt().map(Instant::toString);
      case METADATA -> draft.metadata().map(Json::text);
      case EVENT_ID -> draft.eventId();
      case CAUSATION_ID -> draft.causationId();
      case EXTENSIONS -> draft.extensions().map(Json::text);
    };
  }

  /** One array per column with an element per draft, bound from the first parameter on. */
  static void bindArrays(
      PreparedStatement statement, int first, List<EventColumn> columns, List<EventDraft> drafts)
      throws SQLException {
    for (int i = 0; i < columns.size(); i++) {
      EventColumn column = columns.get(i);
      @Nullable Object[] texts =
          drafts.stream().map(draft -> column.of(draft).orElse(null)).toArray();
      statement.setArray(first + i, statement.getConnection().createArrayOf("text", texts));
    }
  }
}
