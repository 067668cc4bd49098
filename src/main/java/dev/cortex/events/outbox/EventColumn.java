package dev.cortex.events.outbox;

import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Json;
import dev.cortex.events.event.Priority;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/**
 * The columns that a draft fills, in the order in which every statement of this package names them,
 * each with the text that PostgreSQL reads for it.
 */
enum EventColumn {
  TYPE(draft -> Optional.of(draft.type())),
  SOURCE(draft -> Optional.of(draft.source())),
  PAYLOAD(draft -> draft.payload().map(Json::text)),
  CORRELATION_ID(EventDraft::correlationId),
  PRIORITY(draft -> draft.priority().map(Priority::label)),
  KEY(EventDraft::key),
  DEDUPE_KEY(EventDraft::dedupeKey),
  RUN_AT(draft -> draft.runAt().map(Instant::toString)),
  OCCURRED_AT(draft -> draft.occurredAt().map(Instant::toString)),
  METADATA(draft -> draft.metadata().map(Json::text)),
  EVENT_ID(EventDraft::eventId),
  CAUSATION_ID(EventDraft::causationId),
  EXTENSIONS(draft -> draft.extensions().map(Json::text));

  /** What an emitter may state. */
  static final List<EventColumn> STATED = List.of(values()).subList(0, EVENT_ID.ordinal() + 1);

  /** The same and the cause. */
  static final List<EventColumn> CAUSED = List.of(values()).subList(0, CAUSATION_ID.ordinal() + 1);

  /** All, which an import fills. */
  static final List<EventColumn> ARCHIVED = List.of(values());

  private final Function<EventDraft, Optional<String>> text;

  EventColumn(Function<EventDraft, Optional<String>> text) {
    this.text = text;
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

  /** What PostgreSQL reads for this column of the draft; empty: null. */
  Optional<String> of(EventDraft draft) {
    return text.apply(draft);
  }
}
