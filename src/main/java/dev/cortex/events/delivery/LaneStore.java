package dev.cortex.events.delivery;

import java.sql.Array;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/**
 * Every statement on the lanes of ordered handlers, beside {@link DeliveryStore} and with its
 * rules. How order is kept is described in migrations/engine/V18__lanes.sql. Stateless and
 * thread-safe.
 */
public final class LaneStore {

  /** A lane, and then a place where the handler has a limit. */
  private static final String TAKE =
      """
      select lane, version, cortex.take_place(?::smallint)
        from cortex.take_lane(?::smallint, ?::text::smallint[], ?::text::bigint[],
                              ?::text::timestamptz[], ?::text::bigint[])
       where lane is not null
      """;

  /** The claim; the first nineteen columns are those of {@link DeliveryStore}'s. */
  private static final String CLAIM =
      """
      select tid::text, event, event_at, run_at, priority::text, generation, attempt, event_found,
             event_id, type, source, occurred_at, correlation_id, causation_id, causation_depth, key,
             payload, metadata, now(), scanned_to, looked_at::text
        from cortex.claim_in_lane(?::smallint, ?::smallint, ?, ?, ?::text::timestamptz, ?, ?)
      """;

  private static final String PARK = "select cortex.park(?::smallint, ?::smallint, ?, ?)";

  private static final String RECLAIM =
      """
      select tid::text, now()
        from cortex.reclaim_in_lane(?::smallint, ?::smallint, ?, ?, ?, ?, ?::smallint, ?::smallint) as tid
       where case when tid is not null then ? or cortex.take_place(?::smallint) end
      """;

  /**
   * As {@link DeliveryStore}'s settlement of one that is kept, and blocks its key. A dead letter of
   * a handler that skips those leaves the lane instead, and the audit says that its key goes on.
   * Its row is dated before the other one's, which is to be the last.
   */
  private static final String SETTLE =
      """
      with settled as (
        update cortex.deliveries d
           set attempt = d.attempt + ?,
               run_at = case when ? then 'infinity' else clock_timestamp() + ? * interval '1 microsecond' end,
               lane = case when ? and h.when_dead = 'skip' then 0 else d.lane end
          from cortex.handlers h
         where d.ctid = ?::tid
           and now() = ?
           and h.handler_id = d.handler_id
        returning d.event, d.event_at, d.handler_id, d.generation, d.attempt, d.lane, d.key, d.run_at
      ),
      blocked as (
        insert into cortex.blocked_keys as b (handler_id, lane, key, event, blocked_until)
        select handler_id, lane, key, least(event, ?), run_at
          from settled
         where lane > 0
            on conflict (handler_id, md5(key)) do update
           set (event, blocked_until) = (excluded.event, excluded.blocked_until)
      ),
      skipped as (
        insert into cortex.attempts (
               event, event_at, started_at, finished_at, worker_id, outcome, handler_id, generation, attempt, reason, error)
        select event, event_at, now(), now(), ?, 'dead', handler_id, generation, 0, 'key_skipped',
               'the later events of its key go on without it'
          from settled
         where lane = 0
      )
      insert into cortex.attempts (
             event, event_at, started_at, worker_id, outcome, handler_id, generation, attempt, reason, error)
      select event, event_at, now(), ?, ?::cortex.outcome, handler_id, generation, attempt + ?, ?, ?
        from settled
      """;

  private static final String DUE =
      """
      select handler_id, is_due, next_run_at, checked_at
        from cortex.due_lanes(?::text::smallint[], ?::text::smallint[], ?::text::bigint[],
                              ?::text::timestamptz[], ?::text::bigint[])
      """;

  private static final String HORIZON = "select last_id, emitters from cortex.log_horizon()";

  /** The highest number given out, and the transactions that were emitting right after that. */
  record Horizon(long lastId, Set<String> emitters) {}

  /**
   * What a transaction has taken.
   *
   * @param turn none when there is no lane with something to run, or others work in it
   * @param hasPlace false when there is one, and as many run as the handler's limit allows
   */
  public record Take(Optional<LaneTurn> turn, boolean hasPlace) {
    /** No lane with something to run in which nobody works. */
    public static final Take NOTHING = new Take(Optional.empty(), true);
  }

  /** Takes a lane in which there may be something to run, for the rest of the transaction. */
  public Take take(Connection transaction, short handlerId, LaneProbe probe) throws SQLException {
    try (PreparedStatement statement = transaction.prepareStatement(TAKE)) {
      statement.setShort(1, handlerId);
      statement.setShort(2, handlerId);
      statement.setString(3, probe.numbers());
      statement.setString(4, probe.from());
      statement.setString(5, probe.since());
      statement.setString(6, probe.versions());
      try (ResultSet row = statement.executeQuery()) {
        if (!row.next()) {
          return Take.NOTHING;
        }
        boolean hasPlace = row.getBoolean(3);
        return new Take(
            Optional.of(probe.turn(row.getShort(1), row.getLong(2))).filter(turn -> hasPlace),
            hasPlace);
      }
    }
  }

  /** Claims deliveries of the lane that this transaction has taken, by number. */
  public LaneClaim claim(Connection transaction, short handlerId, LaneTurn turn, int limit)
      throws SQLException {
    try (PreparedStatement statement = transaction.prepareStatement(CLAIM)) {
      statement.setShort(1, handlerId);
      statement.setShort(2, turn.lane());
      statement.setLong(3, turn.from());
      statement.setLong(4, turn.floor());
      statement.setString(5, turn.since());
      statement.setBoolean(6, turn.isChanged());
      statement.setInt(7, limit);
      try (ResultSet rows = statement.executeQuery()) {
        return toClaim(rows, handlerId, turn);
      }
    }
  }

  /**
   * Parks what a claim that found nothing to run has passed and the next one would pass again: out
   * of the way of the looks and scans of its lane.
   */
  public void parkPassed(Connection transaction, short handlerId, LaneTurn turn, LaneClaim claim)
      throws SQLException {
    if (turn.parkFrom() >= claim.scannedTo()) {
      return;
    }
    try (PreparedStatement statement = transaction.prepareStatement(PARK)) {
      statement.setShort(1, handlerId);
      statement.setShort(2, turn.lane());
      statement.setLong(3, turn.parkFrom());
      statement.setLong(4, claim.scannedTo());
      statement.execute();
    }
  }

  private static LaneClaim toClaim(ResultSet rows, short handlerId, LaneTurn turn)
      throws SQLException {
    List<Delivery> claimed = new ArrayList<>();
    Instant lockedAt = Instant.MIN;
    long scannedTo = turn.from();
    String lookedAt = turn.since();
    while (rows.next()) {
      if (rows.getString(1) != null) {
        if (claimed.isEmpty()) {
          lockedAt = DeliveryStore.instant(rows, 19);
        }
        claimed.add(DeliveryStore.toDelivery(rows, handlerId, lockedAt));
      }
      scannedTo = rows.getLong(20);
      lookedAt = rows.getString(21);
    }
    claimed.sort(Comparator.comparingLong(Delivery::number).thenComparing(Delivery::generation));
    long floor = claimed.isEmpty() ? turn.floor() : Math.min(turn.floor(), claimed.get(0).number());
    LaneHold hold = new LaneHold(turn.version(), floor);
    return new LaneClaim(
        claimed.stream().map(delivery -> delivery.inLane(turn.lane(), hold)).toList(),
        scannedTo,
        lookedAt);
  }

  /**
   * Takes the lane of a delivery again and locks the delivery, if it is still its turn; and takes a
   * place, unless it is only to be settled.
   */
  Optional<Delivery> reclaim(
      Connection transaction, Delivery delivery, LaneHold hold, boolean toSettle)
      throws SQLException {
    try (PreparedStatement statement = transaction.prepareStatement(RECLAIM)) {
      statement.setShort(1, delivery.handlerId());
      statement.setShort(2, delivery.lane());
      statement.setLong(3, hold.version());
      statement.setLong(4, hold.floor());
      statement.setObject(5, delivery.runAt().atOffset(ZoneOffset.UTC));
      statement.setLong(6, delivery.number());
      statement.setShort(7, delivery.generation());
      statement.setInt(8, delivery.attempt());
      statement.setBoolean(9, toSettle);
      statement.setShort(10, delivery.handlerId());
      try (ResultSet row = statement.executeQuery()) {
        return row.next()
            ? Optional.of(delivery.lockedAgain(row.getString(1), DeliveryStore.instant(row, 2)))
            : Optional.empty();
      }
    }
  }

  /** Keeps a delivery for later or for the dead letter, and blocks its key meanwhile. */
  boolean keep(
      Connection transaction, int workerId, Delivery delivery, LaneHold hold, Settlement settlement)
      throws SQLException {
    int charged = settlement.isCharged() ? 1 : 0;
    boolean isDead = settlement.next() == Settlement.Next.DEAD;
    try (PreparedStatement statement = transaction.prepareStatement(SETTLE)) {
      statement.setInt(1, charged);
      statement.setBoolean(2, isDead);
      statement.setLong(3, settlement.delay().toNanos() / 1_000);
      statement.setBoolean(4, isDead);
      statement.setString(5, delivery.tid());
      statement.setObject(6, delivery.lockedAt().atOffset(ZoneOffset.UTC));
      statement.setLong(7, hold.floor());
      statement.setInt(8, workerId);
      statement.setInt(9, workerId);
      statement.setString(10, settlement.outcome());
      statement.setInt(11, 1 - charged);
      statement.setString(12, settlement.reason());
      statement.setString(13, settlement.errorIfAny().orElse(null));
      return statement.executeUpdate() == 1;
    }
  }

  /** Asks, in auto-commit, which of these ordered handlers have a lane with something to run. */
  public List<DueHandler> dueHandlers(Connection autoCommit, Map<Short, LaneProbe> probes)
      throws SQLException {
    try (PreparedStatement statement = autoCommit.prepareStatement(DUE)) {
      statement.setString(1, joined(probes.entrySet(), LaneStore::handlerOfEachLane));
      statement.setString(2, joined(probes.values(), LaneProbe::numbers));
      statement.setString(3, joined(probes.values(), LaneProbe::from));
      statement.setString(4, joined(probes.values(), LaneProbe::since));
      statement.setString(5, joined(probes.values(), LaneProbe::versions));
      try (ResultSet rows = statement.executeQuery()) {
        return DeliveryStore.toDueHandlers(rows);
      }
    }
  }

  private static String handlerOfEachLane(Map.Entry<Short, LaneProbe> probe) {
    return probe.getValue().lanes().stream()
        .map(lane -> probe.getKey().toString())
        .collect(Collectors.joining(",", "{", "}"));
  }

  /** One array literal of several. */
  private static <T> String joined(Collection<T> probes, Function<T, String> array) {
    return probes.stream()
        .map(array)
        .map(literal -> literal.substring(1, literal.length() - 1))
        .filter(elements -> !elements.isEmpty())
        .collect(Collectors.joining(",", "{", "}"));
  }

  Horizon horizon(Connection connection) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(HORIZON);
        ResultSet row = statement.executeQuery()) {
      row.next();
      @Nullable Array emitters = row.getArray(2);
      return new Horizon(
          row.getLong(1), emitters == null ? Set.of() : Set.of((String[]) emitters.getArray()));
    }
  }
}
