package dev.cortex.events.delivery;

import dev.cortex.events.event.Priority;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.OptionalLong;
import java.util.function.Function;

/**
 * Every statement on leases that is not a function of the migrations. A lease is named by its
 * handler, event, generation and fence, never by {@code run_at}, which a renewal moves: so renewing
 * and acknowledging need no order between them. Decides nothing. Stateless and thread-safe.
 */
public final class LeaseStore {

  /**
   * Leases a due delivery: see the function, in migrations/engine/V16__leases.sql. The columns are
   * those of the claim, with those of a lease behind them, and the event's extensions, which only
   * programs are given: see V39__archived_numbers_and_extensions.sql. Index: the primary key of
   * events.
   */
  private static final String LEASE =
      """
      select null, event, event_at, run_at, priority::text, generation, attempt, event_found,
             event_id, type, source, occurred_at, correlation_id, causation_id, causation_depth, key,
             payload, metadata, leased_at, fence, lost_by,
             cortex.extensions_of(event, event_at)::text
        from cortex.lease(?::smallint, 0::smallint, ?::text::timestamptz[], ?::text::bigint[],
                          ?::text::timestamptz[], ?::text::bigint[], 1, ?, ? * interval '1 microsecond')
      """;

  /** Moves the end of leases; one row each, in their order: true, false or null. */
  private static final String RENEW =
      """
      select unnest(cortex.renew_leases(?, ?, ?, ?, ?, array(
               select micros * interval '1 microsecond' from unnest(?::bigint[]) as micros)))
      """;

  /** Begins a transaction, whose moment tells it from any other one of its session. */
  private static final String BEGIN = "select now()";

  /**
   * Deletes a finished delivery and writes its audit, if the lease is still held and, where a
   * moment is given, the transaction is still the one of that moment. Index: deliveries_leased.
   */
  private static final String ACKNOWLEDGE =
      """
      with acknowledged as (
        delete from cortex.deliveries
         where (handler_id, event, generation, fence) = (?, ?, ?, ?)
           and leased_by = ?
           and now() = coalesce(?::timestamptz, now())
        returning event, event_at, handler_id, generation, attempt, leased_by, leased_at
      )
      insert into cortex.attempts (event, event_at, started_at, worker_id, outcome, handler_id, generation, attempt)
      select event, event_at, leased_at, leased_by, 'done', handler_id, generation, attempt + 1
        from acknowledged
      """;

  /** Keeps a delivery for later or for the dead letter, likewise. */
  private static final String SETTLE =
      """
      with held as materialized (
        select ctid as tid, leased_by, leased_at
          from cortex.deliveries
         where (handler_id, event, generation, fence) = (?, ?, ?, ?)
           and leased_by = ?
           for update
      ),
      settled as (
        update cortex.deliveries d
           set attempt = d.attempt + ?,
               run_at = case when ? then 'infinity' else clock_timestamp() + ? * interval '1 microsecond' end,
               leased_by = null,
               leased_at = null
          from held
         where d.ctid = held.tid
        returning d.event, d.event_at, d.handler_id, d.generation, d.attempt, held.leased_by, held.leased_at
      )
      insert into cortex.attempts (
             event, event_at, started_at, worker_id, outcome, handler_id, generation, attempt, reason, error)
      select event, event_at, leased_at, leased_by, ?::cortex.outcome, handler_id, generation, attempt + ?, ?, ?
        from settled
      """;

  /** Removes a delivery that need not run, likewise. */
  private static final String REMOVE =
      """
      with removed as (
        delete from cortex.deliveries
         where (handler_id, event, generation, fence) = (?, ?, ?, ?)
           and leased_by = ?
        returning event, event_at, handler_id, generation, attempt, leased_by, leased_at
      )
      insert into cortex.attempts (
             event, event_at, started_at, worker_id, outcome, handler_id, generation, attempt, reason, error)
      select event, event_at, leased_at, leased_by, ?::cortex.outcome, handler_id, generation, attempt + 1, ?, ?
        from removed
      """;

  /** Ends a lease as if it had never been; only the fence remains. */
  private static final String GIVE_BACK =
      """
      update cortex.deliveries
         set run_at = clock_timestamp(), leased_by = null, leased_at = null
       where (handler_id, event, generation, fence) = (?, ?, ?, ?)
         and leased_by = ?
      """;

  /** What somebody is recording at this moment is not waited for. */
  private static final String GIVE_BACK_IF_FREE =
      """
      update cortex.deliveries
         set run_at = clock_timestamp(), leased_by = null, leased_at = null
       where ctid = (
               select d.ctid
                 from cortex.deliveries d
                where (d.handler_id, d.event, d.generation, d.fence) = (?, ?, ?, ?)
                  and d.leased_by = ?
                  for update skip locked)
      """;

  /** Which leases end first: see the function, in migrations/engine/V35__lost_leases.sql. */
  private static final String LEASE_ENDS =
      """
      select handler_id, priority::text, ends_at, event, checked_at
        from cortex.lease_ends(?::smallint[], ?)
      """;

  private static final String WAKE_IF_ASLEEP = "select cortex.wake_if_asleep(array[?]::smallint[])";

  /**
   * Leases the first due delivery of a handler, by priority and then by age.
   *
   * @param autoCommit in auto-commit, so that nothing stays locked when this process stands still
   */
  public Optional<Lease> lease(
      Connection autoCommit, short handlerId, ClaimWindow window, Lease.Holder holder)
      throws SQLException {
    try (PreparedStatement statement = autoCommit.prepareStatement(LEASE)) {
      statement.setShort(1, handlerId);
      statement.setString(2, window.fromAt());
      statement.setString(3, window.fromNumber());
      statement.setString(4, window.toAt());
      statement.setString(5, window.toNumber());
      statement.setInt(6, holder.workerId());
      statement.setLong(7, micros(holder.length()));
      try (ResultSet row = statement.executeQuery()) {
        return row.next() ? Optional.of(toLease(row, handlerId, holder)) : Optional.empty();
      }
    }
  }

  private static Lease toLease(ResultSet row, short handlerId, Lease.Holder holder)
      throws SQLException {
    long fence = row.getLong(20);
    boolean isDead = row.wasNull();
    int lostBy = row.getInt(21);
    boolean wasLost = !row.wasNull();
    return new Lease(
        DeliveryStore.toDelivery(row, handlerId, DeliveryStore.instant(row, 19)),
        holder,
        isDead ? OptionalLong.empty() : OptionalLong.of(fence),
        wasLost ? OptionalInt.of(lostBy) : OptionalInt.empty(),
        DeliveryStore.json(row.getString(22)));
  }

  private static long micros(Duration duration) {
    return duration.toNanos() / 1_000;
  }

  /**
   * Renews leases of one worker: each is to last its length from now on.
   *
   * @return what became of each, in their order
   */
  public List<Lease.Renewal> renew(Connection autoCommit, int workerId, List<Lease> leases)
      throws SQLException {
    try (PreparedStatement statement = autoCommit.prepareStatement(RENEW)) {
      statement.setInt(1, workerId);
      bind(statement, 2, "smallint", leases, lease -> lease.delivery().handlerId());
      bind(statement, 3, "bigint", leases, lease -> lease.delivery().number());
      bind(statement, 4, "smallint", leases, lease -> lease.delivery().generation());
      bind(statement, 5, "bigint", leases, Lease::heldFence);
      bind(statement, 6, "bigint", leases, lease -> micros(lease.holder().length()));
      try (ResultSet rows = statement.executeQuery()) {
        List<Lease.Renewal> renewals = new ArrayList<>();
        while (rows.next()) {
          boolean isRenewed = rows.getBoolean(1);
          renewals.add(
              rows.wasNull()
                  ? Lease.Renewal.LOCKED
                  : isRenewed ? Lease.Renewal.RENEWED : Lease.Renewal.GONE);
        }
        return renewals;
      }
    }
  }

  private static void bind(
      PreparedStatement statement,
      int parameter,
      String type,
      List<Lease> leases,
      Function<Lease, Object> value)
      throws SQLException {
    Object[] values = leases.stream().map(value).toArray();
    statement.setArray(parameter, statement.getConnection().createArrayOf(type, values));
  }

  /** When the connection's transaction began, which this begins where none is open. */
  public Instant begin(Connection connection) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(BEGIN);
        ResultSet row = statement.executeQuery()) {
      row.next();
      return DeliveryStore.instant(row, 1);
    }
  }

  /**
   * Acknowledges a leased delivery.
   *
   * @param begunAt which transaction this has to be, where others may have ended it
   * @return false when the lease is lost or it is another transaction; the caller must roll back
   *     then
   */
  public boolean acknowledge(Connection transaction, Lease lease, Optional<Instant> begunAt)
      throws SQLException {
    try (PreparedStatement statement = transaction.prepareStatement(ACKNOWLEDGE)) {
      int next = bindKey(statement, lease);
      statement.setObject(next, begunAt.map(at -> at.atOffset(ZoneOffset.UTC)).orElse(null));
      return statement.executeUpdate() == 1;
    }
  }

  /** Binds what names the lease, and returns the number of the next parameter. */
  private static int bindKey(PreparedStatement statement, Lease lease) throws SQLException {
    statement.setShort(1, lease.delivery().handlerId());
    statement.setLong(2, lease.delivery().number());
    statement.setShort(3, lease.delivery().generation());
    statement.setLong(4, lease.heldFence());
    statement.setInt(5, lease.holder().workerId());
    return 6;
  }

  /**
   * Settles a leased delivery that is not done.
   *
   * @return false when the lease is lost, and nothing was changed
   */
  public boolean settle(Connection connection, Lease lease, Settlement settlement)
      throws SQLException {
    return settlement.next() == Settlement.Next.GONE
        ? remove(connection, lease, settlement)
        : keep(connection, lease, settlement);
  }

  private static boolean keep(Connection connection, Lease lease, Settlement settlement)
      throws SQLException {
    int charged = settlement.isCharged() ? 1 : 0;
    try (PreparedStatement statement = connection.prepareStatement(SETTLE)) {
      int next = bindKey(statement, lease);
      statement.setInt(next++, charged);
      statement.setBoolean(next++, settlement.next() == Settlement.Next.DEAD);
      statement.setLong(next++, micros(settlement.delay()));
      statement.setString(next++, settlement.outcome());
      statement.setInt(next++, 1 - charged);
      statement.setString(next++, settlement.reason());
      statement.setString(next, settlement.errorIfAny().orElse(null));
      return statement.executeUpdate() == 1;
    }
  }

  private static boolean remove(Connection connection, Lease lease, Settlement settlement)
      throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(REMOVE)) {
      int next = bindKey(statement, lease);
      statement.setString(next++, settlement.outcome());
      statement.setString(next++, settlement.reason());
      statement.setString(next, settlement.errorIfAny().orElse(null));
      return statement.executeUpdate() == 1;
    }
  }

  /**
   * Gives a lease back before its time, without an attempt being charged.
   *
   * @return false when it was lost already
   */
  public boolean giveBack(Connection connection, Lease lease) throws SQLException {
    return giveBack(connection, lease, GIVE_BACK);
  }

  /**
   * The same, without waiting for anybody.
   *
   * @return false also when somebody else has the delivery locked
   */
  public boolean giveBackIfFree(Connection connection, Lease lease) throws SQLException {
    return giveBack(connection, lease, GIVE_BACK_IF_FREE);
  }

  private static boolean giveBack(Connection connection, Lease lease, String sql)
      throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(sql)) {
      bindKey(statement, lease);
      return statement.executeUpdate() == 1;
    }
  }

  /**
   * The leases of each of these handlers that end first, lost ones included, whoever holds them.
   *
   * @param max how many of each handler at most
   */
  public List<LeaseEnd> ends(Connection autoCommit, Collection<Short> handlerIds, int max)
      throws SQLException {
    try (PreparedStatement statement = autoCommit.prepareStatement(LEASE_ENDS)) {
      statement.setArray(1, autoCommit.createArrayOf("smallint", handlerIds.toArray()));
      statement.setInt(2, max);
      try (ResultSet rows = statement.executeQuery()) {
        List<LeaseEnd> ends = new ArrayList<>();
        while (rows.next()) {
          Instant endsAt = DeliveryStore.instant(rows, 3);
          ends.add(
              new LeaseEnd(
                  rows.getShort(1),
                  Duration.between(DeliveryStore.instant(rows, 5), endsAt),
                  ClaimWindow.rescue(
                      Priority.of(rows.getString(2)), Mark.at(endsAt, rows.getLong(4)))));
        }
        return ends;
      }
    }
  }

  /** Wakes whoever sleeps, when the connection's transaction commits: there is room, or work. */
  public void wakeIfAsleep(Connection connection, short handlerId) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(WAKE_IF_ASLEEP)) {
      statement.setShort(1, handlerId);
      statement.execute();
    }
  }
}
