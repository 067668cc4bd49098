package dev.cortex.events.outbox;

import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.EventId;
import dev.cortex.events.event.Json;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/**
 * Emits a list of events in as few statements as its size allows. Every statement has one text
 * whatever the number of events, so that the server prepares it once.
 */
final class EventBatch {
  /** Beyond a thousand events a larger statement is no faster, only larger. */
  private static final int MAX_EVENTS = 1000;

  /** Keeps what driver and server hold for one statement at a few times this. */
  private static final int MAX_CHARACTERS = 4 * 1024 * 1024;

  /**
   * Emits events that have neither dedupe keys nor causes nor extensions. Parameters: the emitter's
   * eleven columns, an array each. Result: a row per event, ids rising in the order of the
   * elements, since they are drawn after the sort. Needs INSERT on those columns and SELECT on id
   * and received_at. Locks: those of the fan-out.
   */
  private static final String PLAIN =
      """
      insert into cortex.events (
        type, source, payload, correlation_id, priority, key, dedupe_key, run_at, occurred_at, metadata, event_id)
      select type, source, payload::jsonb, correlation_id, priority::cortex.priority, key, dedupe_key,
             run_at::timestamptz, coalesce(occurred_at::timestamptz, clock_timestamp()), metadata::jsonb, event_id
        from unnest(?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[],
                    ?::text[], ?::text[])
             with ordinality as draft(
               type, source, payload, correlation_id, priority, key, dedupe_key, run_at, occurred_at, metadata,
               event_id, place)
       order by place
      returning id, received_at
      """;

  /**
   * The same for events with one cause that is known to the caller. Parameters: the eleven and the
   * causation ids, an array each, then the causation depth. Needs INSERT on the last two as well,
   * which workers have.
   */
  private static final String CAUSED =
      """
      insert into cortex.events (
        type, source, payload, correlation_id, priority, key, dedupe_key, run_at, occurred_at, metadata, event_id,
        causation_id, causation_depth)
      select type, source, payload::jsonb, correlation_id, priority::cortex.priority, key, dedupe_key,
             run_at::timestamptz, coalesce(occurred_at::timestamptz, clock_timestamp()), metadata::jsonb, event_id,
             causation_id, ?
        from unnest(?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[],
                    ?::text[], ?::text[], ?::text[])
             with ordinality as draft(
               type, source, payload, correlation_id, priority, key, dedupe_key, run_at, occurred_at, metadata,
               event_id, causation_id, place)
       order by place
      returning id, received_at
      """;

  /**
   * Emits events of which some may repeat a dedupe key, have a cause yet to be looked up, or have
   * extensions. Parameters: all columns, an array each. Result: the public ids in the order of the
   * elements. Needs EXECUTE only. Locks: those of the fan-out.
   */
  private static final String LOOKED_UP =
      """
      select cortex.emit_many(
        ?::text[], ?::text[], ?::text[]::jsonb[], ?::text[], ?::text[], ?::text[], ?::text[], ?::text[]::timestamptz[],
        ?::text[]::timestamptz[], ?::text[]::jsonb[], ?::text[], ?::text[], ?::text[]::jsonb[])
      """;

  private record Row(long id, Instant receivedAt) {}

  private final Connection connection;

  EventBatch(Connection connection) {
    this.connection = connection;
  }

  /**
   * Emits all drafts or none and returns their public ids in order.
   *
   * @param depth the causation depth, where the drafts' cause is known
   */
  List<String> emitAll(List<EventDraft> drafts, OptionalInt depth) throws SQLException {
    List<List<EventDraft>> chunks = chunks(drafts);
    if (chunks.size() <= 1) {
      return chunks.isEmpty() ? List.of() : emitChunk(chunks.get(0), depth);
    }
    return AllOrNothing.on(
        connection,
        () -> {
          List<String> ids = new ArrayList<>(drafts.size());
          for (List<EventDraft> chunk : chunks) {
            ids.addAll(emitChunk(chunk, depth));
          }
          return ids;
        });
  }

  private static List<List<EventDraft>> chunks(List<EventDraft> drafts) {
    List<List<EventDraft>> chunks = new ArrayList<>();
    int from = 0;
    long characters = 0;
    for (int i = 0; i < drafts.size(); i++) {
      long added = characters(drafts.get(i));
      if (i > from && (i - from == MAX_EVENTS || characters + added > MAX_CHARACTERS)) {
        chunks.add(drafts.subList(from, i));
        from = i;
        characters = 0;
      }
      characters += added;
    }
    if (from < drafts.size()) {
      chunks.add(drafts.subList(from, drafts.size()));
    }
    return chunks;
  }

  private static long characters(EventDraft draft) {
    return characters(draft.payload())
        + characters(draft.metadata())
        + characters(draft.extensions());
  }

  private static long characters(Optional<Json> document) {
    return document.map(Json::text).map(String::length).orElse(0);
  }

  private List<String> emitChunk(List<EventDraft> drafts, OptionalInt depth) throws SQLException {
    boolean known = depth.isPresent();
    boolean lookUp =
        drafts.stream()
            .anyMatch(
                draft ->
                    draft.dedupeKey().isPresent()
                        || draft.extensions().isPresent()
                        || (draft.causationId().isPresent() && !known));
    if (lookUp) {
      return emitLookedUp(drafts);
    }
    return known ? emitCaused(drafts, depth.getAsInt()) : emitPlain(drafts);
  }

  private List<String> emitPlain(List<EventDraft> drafts) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(PLAIN)) {
      EventColumn.bindArrays(statement, 1, EventColumn.STATED, drafts);
      return publicIds(statement, drafts);
    }
  }

  private List<String> emitCaused(List<EventDraft> drafts, int depth) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(CAUSED)) {
      statement.setInt(1, depth);
      EventColumn.bindArrays(statement, 2, EventColumn.CAUSED, drafts);
      return publicIds(statement, drafts);
    }
  }

  private List<String> emitLookedUp(List<EventDraft> drafts) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(LOOKED_UP)) {
      EventColumn.bindArrays(statement, 1, EventColumn.ALL, drafts);
      List<String> ids = new ArrayList<>(drafts.size());
      try (ResultSet rows = statement.executeQuery()) {
        while (rows.next()) {
          ids.add(rows.getString(1));
        }
      }
      return ids;
    }
  }

  /** A given id is the public one, whether the event was new or a repetition. */
  private static List<String> publicIds(PreparedStatement insert, List<EventDraft> drafts)
      throws SQLException {
    List<Row> rows = rows(insert);
    List<String> ids = new ArrayList<>(drafts.size());
    for (int i = 0; i < drafts.size(); i++) {
      Row row = rows.get(i);
      Optional<String> given = drafts.get(i).eventId();
      ids.add(given.isPresent() ? given.get() : EventId.derived(row.id(), row.receivedAt()));
    }
    return ids;
  }

  private static List<Row> rows(PreparedStatement insert) throws SQLException {
    List<Row> rows = new ArrayList<>();
    try (ResultSet result = insert.executeQuery()) {
      while (result.next()) {
        OffsetDateTime receivedAt = result.getObject("received_at", OffsetDateTime.class);
        rows.add(new Row(result.getLong("id"), receivedAt.toInstant()));
      }
    }
    rows.sort(Comparator.comparingLong(Row::id));
    return rows;
  }
}
