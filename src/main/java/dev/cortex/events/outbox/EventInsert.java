package dev.cortex.events.outbox;

import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.EventId;
import dev.cortex.events.event.LeaseCause;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.OffsetDateTime;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;

/** Emits one event by the cheapest statement that does what the draft asks for. */
final class EventInsert {
  /**
   * Emits an event that nobody can have emitted before under a dedupe key and that has no cause.
   * Parameters: the emitter's eleven columns. Result: what its public id derives from. Needs INSERT
   * on those columns and SELECT on id and received_at. Locks: those of the fan-out.
   */
  private static final String PLAIN =
      """
      insert into cortex.events (
        type, source, payload, correlation_id, priority, key, dedupe_key, run_at, occurred_at, metadata, event_id)
      values (
        ?, ?, ?::jsonb, ?, ?::cortex.priority, ?, ?, ?::timestamptz, coalesce(?::timestamptz, clock_timestamp()),
        ?::jsonb, ?)
      returning id, received_at
      """;

  /**
   * The same for an event whose cause is known to the caller. Parameters: the eleven, the causation
   * id, the causation depth. Needs INSERT on the last two as well, which workers have.
   */
  private static final String CAUSED =
      """
      insert into cortex.events (
        type, source, payload, correlation_id, priority, key, dedupe_key, run_at, occurred_at, metadata, event_id,
        causation_id, causation_depth)
      values (
        ?, ?, ?::jsonb, ?, ?::cortex.priority, ?, ?, ?::timestamptz, coalesce(?::timestamptz, clock_timestamp()),
        ?::jsonb, ?, ?, ?)
      returning id, received_at
      """;

  /**
   * Emits an event that may repeat another one's dedupe key, whose cause is yet to be looked up, or
   * that has extensions. Parameters: all columns. Result: the public id. Needs EXECUTE only. Locks:
   * those of the fan-out.
   */
  private static final String LOOKED_UP =
      """
      select cortex.emit(
        type => ?, source => ?, payload => ?::jsonb, correlation_id => ?, priority => ?, key => ?, dedupe_key => ?,
        run_at => ?::timestamptz, occurred_at => ?::timestamptz, metadata => ?::jsonb, event_id => ?,
        causation_id => ?, extensions => ?::jsonb)
      """;

  /**
   * The same for an event whose cause is a leased delivery. Parameters: all columns, the handler
   * and the fence. Locks: those of the fan-out, and the delivery's key.
   */
  private static final String UNDER_LEASE =
      """
      select cortex.emit(
        type => ?, source => ?, payload => ?::jsonb, correlation_id => ?, priority => ?, key => ?, dedupe_key => ?,
        run_at => ?::timestamptz, occurred_at => ?::timestamptz, metadata => ?::jsonb, event_id => ?,
        causation_id => ?, extensions => ?::jsonb, handler => ?, fence => ?)
      """;

  private final Connection connection;

  EventInsert(Connection connection) {
    this.connection = connection;
  }

  /**
   * Emits the draft and returns its public id.
   *
   * @param depth the causation depth, where the draft's cause is known
   */
  String emit(EventDraft draft, OptionalInt depth) throws SQLException {
    if (draft.dedupeKey().isPresent()
        || draft.extensions().isPresent()
        || (draft.causationId().isPresent() && depth.isEmpty())) {
      return emitLookedUp(draft);
    }
    return depth.isPresent() ? emitCaused(draft, depth.getAsInt()) : emitPlain(draft);
  }

  private String emitPlain(EventDraft draft) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(PLAIN)) {
      bind(statement, draft, EventColumn.STATED);
      return publicId(statement, draft);
    }
  }

  private String emitCaused(EventDraft draft, int depth) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(CAUSED)) {
      int bound = bind(statement, draft, EventColumn.CAUSED);
      statement.setInt(bound + 1, depth);
      return publicId(statement, draft);
    }
  }

  private String emitLookedUp(EventDraft draft) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(LOOKED_UP)) {
      bind(statement, draft, EventColumn.ALL);
      try (ResultSet row = statement.executeQuery()) {
        row.next();
        return row.getString(1);
      }
    }
  }

  /** Emits the draft, which names the lease's event as its cause, and returns its public id. */
  String emitUnderLease(EventDraft draft, LeaseCause cause) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(UNDER_LEASE)) {
      int bound = bind(statement, draft, EventColumn.ALL);
      statement.setString(bound + 1, cause.handler());
      statement.setLong(bound + 2, cause.fence());
      try (ResultSet row = statement.executeQuery()) {
        row.next();
        return row.getString(1);
      }
    }
  }

  private static int bind(PreparedStatement statement, EventDraft draft, List<EventColumn> columns)
      throws SQLException {
    int bound = 0;
    for (EventColumn column : columns) {
      statement.setString(++bound, column.of(draft).orElse(null));
    }
    return bound;
  }

  private static String publicId(PreparedStatement insert, EventDraft draft) throws SQLException {
    try (ResultSet row = insert.executeQuery()) {
      row.next();
      Optional<String> given = draft.eventId();
      return given.isPresent()
          ? given.get()
          : EventId.derived(
              row.getLong("id"), row.getObject("received_at", OffsetDateTime.class).toInstant());
    }
  }
}
