package dev.cortex.events.delivery;

import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventId;
import dev.cortex.events.event.Json;
import dev.cortex.events.event.Priority;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * Every statement on the queue that is not a function of the migrations. Works in the transaction
 * of the connection that it is given, at READ COMMITTED, and decides nothing. Stateless and
 * thread-safe.
 */
public final class DeliveryStore {

  /**
   * Takes a place where the handler has a limit, locks due deliveries and returns them with their
   * events: the claim. What it does, its locks, its indexes and its plan are described at the
   * function, in migrations/engine/V34__claim_in_one_pass.sql. Always returns a row, whose tid is
   * null when there is nothing. The claim's limit depends on the place, so the place is taken
   * first.
   */
  private static final String CLAIM =
      """
      select tid::text, event, event_at, run_at, priority::text, generation, attempt, event_found,
             event_id, type, source, occurred_at, correlation_id, causation_id, causation_depth, key,
             payload, metadata, now(), has_place
        from cortex.take_place(?::smallint) as has_place
        left join lateral cortex.claim(
                            ?::smallint, ?::smallint, ?::text::timestamptz[], ?::text::bigint[],
                            ?::text::timestamptz[], ?::text::bigint[], case when has_place then ? else 0 end)
          on true
      """;

  /**
   * Locks one delivery again by its full key, as it was seen; no row when somebody else has it, or
   * has finished or settled it since; or, unless it is only to be settled, where the handler has a
   * limit and no place is free. The place is taken first, once. Index: deliveries_due.
   */
  private static final String RECLAIM =
      """
      select d.ctid::text, now()
        from cortex.deliveries d
       where (? or (select cortex.take_place(?::smallint)))
         and d.handler_id = ?
         and d.lane = ?
         and d.priority = ?::cortex.priority
         and d.run_at = ?
         and d.event = ?
         and d.generation = ?
         and d.attempt = ?
         for update skip locked
      """;

  /**
   * Deletes finished deliveries by the ctids that this transaction locked and writes their audit,
   * in one statement. The transaction's start, now(), is when they were claimed, and the session is
   * as the handler found it. The caller compares the count: fewer than it locked means that its
   * transaction is not the one that locked them, or that the session was changed. All three are
   * worked out once, before the first row.
   */
  private static final String ACKNOWLEDGE =
      """
      with acknowledged as (
        delete from cortex.deliveries
         where ctid = any (?::text::tid[])
           and now() = ?
           and cortex.session_identity() = ?
           and cortex.session_settings() = ?
        returning event, event_at, handler_id, generation, attempt
      )
      insert into cortex.attempts (event, event_at, started_at, worker_id, outcome, handler_id, generation, attempt)
      select event, event_at, now(), ?, 'done', handler_id, generation, attempt + 1
        from acknowledged
      """;

  /** Keeps a delivery for later or for the dead letter, and writes the audit of its attempt. */
  private static final String SETTLE =
      """
      with settled as (
        update cortex.deliveries
           set attempt = attempt + ?,
               run_at = case when ? then 'infinity' else clock_timestamp() + ? * interval '1 microsecond' end,
               leased_by = null
         where ctid = ?::tid
           and now() = ?
        returning event, event_at, handler_id, generation, attempt
      )
      insert into cortex.attempts (
             event, event_at, started_at, worker_id, outcome, handler_id, generation, attempt, reason, error)
      select event, event_at, now(), ?, ?::cortex.outcome, handler_id, generation, attempt + ?, ?, ?
        from settled
      """;

  /** Removes a delivery that need not run, and writes the audit of its attempt. */
  private static final String REMOVE =
      """
      with removed as (
        delete from cortex.deliveries
         where ctid = ?::tid
           and now() = ?
        returning event, event_at, handler_id, generation, attempt
      )
      insert into cortex.attempts (
             event, event_at, started_at, worker_id, outcome, handler_id, generation, attempt, reason, error)
      select event, event_at, now(), ?, ?::cortex.outcome, handler_id, generation, attempt + 1, ?, ?
        from removed
      """;

  /**
   * Which handlers have something to claim, and when the next of the others is due. What a limit
   * keeps from being leased cannot be claimed.
   */
  private static final String DUE_HANDLERS =
      """
      select handler_id, is_due and cortex.has_room(handler_id), next_run_at, checked_at
        from cortex.due_handlers(?::text::smallint[], ?::text::timestamptz[], ?::text::bigint[])
      """;

  private final LaneStore lanes = new LaneStore();

  /** What a claim came back with; without a place nothing was looked for. */
  public record Claim(List<Delivery> deliveries, boolean hasPlace) {}

  /** Claims deliveries of lane 0, which has no order: by priority and then by age. */
  public Claim claim(Connection transaction, short handlerId, ClaimWindow window, int limit)
      throws SQLException {
    try (PreparedStatement statement = transaction.prepareStatement(CLAIM)) {
      statement.setShort(1, handlerId);
      statement.setShort(2, handlerId);
      statement.setShort(3, (short) 0);
      statement.setString(4, window.fromAt());
      statement.setString(5, window.fromNumber());
      statement.setString(6, window.toAt());
      statement.setString(7, window.toNumber());
      statement.setInt(8, limit);
      try (ResultSet rows = statement.executeQuery()) {
        return toClaim(rows, handlerId);
      }
    }
  }

  /** Reads rows with the columns of {@link #CLAIM}; now() is the same in all of them. */
  private static Claim toClaim(ResultSet rows, short handlerId) throws SQLException {
    rows.next();
    if (rows.getString(1) == null) {
      return new Claim(List.of(), rows.getBoolean(20));
    }
    List<Delivery> claimed = new ArrayList<>();
    Instant lockedAt = instant(rows, 19);
    do {
      claimed.add(toDelivery(rows, handlerId, lockedAt));
    } while (rows.next());
    // The join inside the function keeps no order.
    claimed.sort(Comparator.comparing(Delivery::priority).thenComparing(Delivery::mark));
    return new Claim(claimed, true);
  }

  /** Reads a row with the first eighteen columns of {@link #CLAIM}. */
  static Delivery toDelivery(ResultSet row, short handlerId, Instant lockedAt) throws SQLException {
    return new Delivery(
        row.getString(1),
        lockedAt,
        handlerId,
        (short) 0,
        Priority.of(row.getString(5)),
        instant(row, 4),
        row.getLong(2),
        row.getShort(6),
        row.getInt(7),
        row.getBoolean(8) ? Optional.of(toEvent(row)) : Optional.empty());
  }

  private static Event toEvent(ResultSet row) throws SQLException {
    Instant receivedAt = instant(row, 3);
    String given = row.getString(9);
    return new Event(
        given != null ? given : EventId.derived(row.getLong(2), receivedAt),
        row.getString(10),
        row.getString(11),
        instant(row, 12),
        receivedAt,
        Priority.of(row.getString(5)),
        Optional.ofNullable(row.getString(13)),
        Optional.ofNullable(row.getString(14)),
        row.getInt(15),
        Optional.ofNullable(row.getString(16)),
        json(row.getString(17)),
        json(row.getString(18)));
  }

  static Instant instant(ResultSet row, int column) throws SQLException {
    return row.getObject(column, OffsetDateTime.class).toInstant();
  }

  static Json json(@Nullable String text) {
    return text == null ? Json.empty() : Json.stored(text);
  }

  /**
   * Locks a delivery of an earlier transaction again, to run it, in a place where its handler has a
   * limit.
   *
   * @return where it lies now; empty when it is no longer this worker's to run
   */
  public Optional<Delivery> reclaim(Connection transaction, Delivery delivery) throws SQLException {
    return lock(transaction, delivery, false);
  }

  /** The same, only to settle it. */
  public Optional<Delivery> reclaimToSettle(Connection transaction, Delivery delivery)
      throws SQLException {
    return lock(transaction, delivery, true);
  }

  private Optional<Delivery> lock(Connection transaction, Delivery delivery, boolean toSettle)
      throws SQLException {
    if (delivery.hold().isPresent()) {
      return lanes.reclaim(transaction, delivery, delivery.hold().get(), toSettle);
    }
    try (PreparedStatement statement = transaction.prepareStatement(RECLAIM)) {
      statement.setBoolean(1, toSettle);
      statement.setShort(2, delivery.handlerId());
      statement.setShort(3, delivery.handlerId());
      statement.setShort(4, delivery.lane());
      statement.setString(5, delivery.priority().label());
      statement.setObject(6, delivery.runAt().atOffset(ZoneOffset.UTC));
      statement.setLong(7, delivery.number());
      statement.setShort(8, delivery.generation());
      statement.setInt(9, delivery.attempt());
      try (ResultSet rows = statement.executeQuery()) {
        return rows.next()
            ? Optional.of(delivery.lockedAgain(rows.getString(1), instant(rows, 2)))
            : Optional.empty();
      }
    }
  }

  /**
   * Acknowledges deliveries that this transaction has locked.
   *
   * @param deliveries at least one, all of them locked together
   * @param session what the session has to be like
   * @return how many; the caller must roll back unless it is all of them
   */
  public int acknowledge(
      Connection transaction, int workerId, List<Delivery> deliveries, SessionState session)
      throws SQLException {
    try (PreparedStatement statement = transaction.prepareStatement(ACKNOWLEDGE)) {
      statement.setString(1, tids(deliveries));
      statement.setObject(2, lockedAt(deliveries.get(0)));
      statement.setString(3, session.identity());
      statement.setString(4, session.settings());
      statement.setInt(5, workerId);
      return statement.executeUpdate();
    }
  }

  private static OffsetDateTime lockedAt(Delivery delivery) {
    return delivery.lockedAt().atOffset(ZoneOffset.UTC);
  }

  private static String tids(Collection<Delivery> deliveries) {
    return deliveries.stream()
        .map(delivery -> '"' + delivery.tid() + '"')
        .collect(Collectors.joining(",", "{", "}"));
  }

  /**
   * Settles a delivery that is not done and that this transaction has locked.
   *
   * @return whether it did; the caller must roll back if not
   */
  public boolean settle(
      Connection transaction, int workerId, Delivery delivery, Settlement settlement)
      throws SQLException {
    if (settlement.next() == Settlement.Next.GONE) {
      return remove(transaction, workerId, delivery, settlement);
    }
    return delivery.hold().isPresent()
        ? lanes.keep(transaction, workerId, delivery, delivery.hold().get(), settlement)
        : keep(transaction, workerId, delivery, settlement);
  }

  private static boolean keep(
      Connection transaction, int workerId, Delivery delivery, Settlement settlement)
      throws SQLException {
    int charged = settlement.isCharged() ? 1 : 0;
    try (PreparedStatement statement = transaction.prepareStatement(SETTLE)) {
      statement.setInt(1, charged);
      statement.setBoolean(2, settlement.next() == Settlement.Next.DEAD);
      statement.setLong(3, settlement.delay().toNanos() / 1_000);
      statement.setString(4, delivery.tid());
      statement.setObject(5, lockedAt(delivery));
      statement.setInt(6, workerId);
      statement.setString(7, settlement.outcome());
      statement.setInt(8, 1 - charged);
      statement.setString(9, settlement.reason());
      statement.setString(10, settlement.errorIfAny().orElse(null));
      return statement.executeUpdate() == 1;
    }
  }

  private static boolean remove(
      Connection transaction, int workerId, Delivery delivery, Settlement settlement)
      throws SQLException {
    try (PreparedStatement statement = transaction.prepareStatement(REMOVE)) {
      statement.setString(1, delivery.tid());
      statement.setObject(2, lockedAt(delivery));
      statement.setInt(3, workerId);
      statement.setString(4, settlement.outcome());
      statement.setString(5, settlement.reason());
      statement.setString(6, settlement.errorIfAny().orElse(null));
      return statement.executeUpdate() == 1;
    }
  }

  /**
   * Asks, in auto-commit, which of these handlers have something to claim.
   *
   * @param windows from where on to look, by handler
   */
  public List<DueHandler> dueHandlers(Connection autoCommit, Map<Short, ClaimWindow> windows)
      throws SQLException {
    try (PreparedStatement statement = autoCommit.prepareStatement(DUE_HANDLERS)) {
      statement.setString(
          1,
          windows.keySet().stream()
              .map(String::valueOf)
              .collect(Collectors.joining(",", "{", "}")));
      statement.setString(2, ClaimWindow.fromAt(windows.values()));
      statement.setString(3, ClaimWindow.fromNumber(windows.values()));
      try (ResultSet rows = statement.executeQuery()) {
        return toDueHandlers(rows);
      }
    }
  }

  static List<DueHandler> toDueHandlers(ResultSet rows) throws SQLException {
    List<DueHandler> due = new ArrayList<>();
    while (rows.next()) {
      due.add(
          new DueHandler(
              rows.getShort(1),
              rows.getBoolean(2),
              Optional.ofNullable(rows.getObject(3, OffsetDateTime.class))
                  .map(OffsetDateTime::toInstant),
              instant(rows, 4)));
    }
    return due;
  }
}
