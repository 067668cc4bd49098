package dev.cortex.events.schedule;

import static dev.cortex.events.schedule.Schedules.moment;
import static dev.cortex.events.schedule.Schedules.required;

import dev.cortex.events.database.DatabaseFault;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.sql.Statement;
import java.time.Duration;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.stream.Stream;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Fires the schedules that are due. Any number of processes may do so at once: each tick is fired
 * once, since whoever fires a schedule holds its row, and the fire, its event and the schedule's
 * next tick are one commit. A process that dies in between leaves nothing, and another one fires.
 *
 * <p>The rules:
 *
 * <ul>
 *   <li>The only clock is the database's.
 *   <li>Ticks that passed while nobody was there to fire them are made up for as the schedule's
 *       {@link CatchUp} says: by one fire for the newest of them, by none, or by one for each, a
 *       hundred at a time. {@code $date} is the local date of the tick that is fired.
 *   <li>A new schedule, and one whose expression, zone or enablement changed, starts with its next
 *       tick.
 *   <li>A schedule whose expression or zone cannot be read does not fire, and stops no other; it is
 *       told of once per process, and {@link Schedules#list} shows why.
 *   <li>A tick whose event the database refuses is told of and dropped; the next one is tried.
 *   <li>A tick whose dedupe key somebody else holds waits for them, and no other schedule does: it
 *       is left after a moment, and tried again after those that are due besides.
 * </ul>
 *
 * <p>Thread-safe, but for the connections.
 */
public final class Timekeeper {
  private static final Logger LOG = LoggerFactory.getLogger(Timekeeper.class);

  /** Schedules in one transaction; more wait for the next call, which is due at once. */
  private static final int MAX_SCHEDULES = 1000;

  /** Ticks of one schedule in one transaction; more wait for the next call likewise. */
  private static final int MAX_TICKS = 100;

  /** A tick that is found this late was missed, not merely looked at late. */
  private static final Duration MISSED_AFTER = Duration.ofMinutes(1);

  /**
   * Locks the schedules that are due or whose next tick is not known, and reads the clock.
   *
   * <p>Parameters: names to take last, in this order; how many at most. Locks: FOR UPDATE on the
   * schedules, SKIP LOCKED, since a locked one is being fired.
   */
  private static final String CLAIM =
      """
      select s.name, s.cron, s.zone, s.catch_up, s.next_fire_at, clock_timestamp() as checked_at
        from cortex.schedules s
       where s.enabled
         and (s.next_fire_at is null or s.next_fire_at <= clock_timestamp())
       order by array_position(?, s.name) nulls first, s.name
       limit ?
         for update skip locked
      """;

  /** How long to wait for a dedupe key. Emitters hold theirs for as long as they stay open. */
  private static final String PATIENCE = "set local lock_timeout = '200ms'";

  /**
   * Emits the event of a tick and records the fire; nothing when the tick was fired before, as
   * after an operator has set next_fire_at back.
   *
   * <p>Parameters: tick, local date, schedule. Locks: none beyond those of emitting.
   */
  private static final String FIRE =
      """
      insert into cortex.fires (schedule, fire_at, event_id)
      select s.name, t.tick,
             cortex.emit(
               s.type, 'schedule:' || s.name, replace(s.payload::text, '$date', t.date)::jsonb,
               dedupe_key => replace(s.dedupe_key, '$date', t.date))
        from cortex.schedules s
       cross join (values (?::timestamptz, ?::text)) t(tick, date)
       where s.name = ?
         and not exists (select from cortex.fires f where f.schedule = s.name and f.fire_at = t.tick)
      returning fired_at, event_id
      """;

  /** Parameters: the next tick, infinity where there is none any more; schedule. */
  private static final String SET_NEXT =
      """
      update cortex.schedules set next_fire_at = ? where name = ?
      """;

  /** How long until the next schedule is due. Parameter: names to pass over. */
  private static final String UNTIL_NEXT =
      """
      select min(coalesce(s.next_fire_at, c.checked_at)) as next_fire_at, min(c.checked_at) as checked_at
        from cortex.schedules s
       cross join (select clock_timestamp() as checked_at) c
       where s.enabled
         and s.name <> all (?)
         and s.next_fire_at is distinct from 'infinity'
      """;

  /** How the driver writes infinity. */
  private static final OffsetDateTime NEVER = OffsetDateTime.MAX;

  /** The schedules that cannot fire, with what was said of them, so that it is said once. */
  private final Map<String, String> toldProblems = new ConcurrentHashMap<>();

  /** The schedules whose next tick waits for who holds its dedupe key, the one tried last last. */
  private final Set<String> waiting = Collections.synchronizedSet(new LinkedHashSet<>());

  /** A timekeeper that has told of no problem yet; a process needs one. */
  public Timekeeper() {}

  /** A schedule whose row this transaction holds. */
  private record Due(
      String name,
      CronExpression cron,
      CatchUp catchUp,
      Optional<Instant> dueTick,
      Instant checkedAt) {

    /**
     * Of the ticks that have passed those to fire now, the oldest first; none where none is due.
     */
    List<Instant> ticks() {
      if (dueTick.isEmpty()) {
        return List.of();
      }
      if (catchUp == CatchUp.ALL) {
        return Stream.iterate(dueTick, Optional::isPresent, tick -> cron.nextAfter(tick.get()))
            .map(Optional::get)
            .takeWhile(tick -> !tick.isAfter(checkedAt))
            .limit(MAX_TICKS)
            .toList();
      }
      Instant newest =
          cron.lastUntil(checkedAt)
              .filter(tick -> tick.isAfter(dueTick.get()))
              .orElse(dueTick.get());
      boolean isMissed = newest.isBefore(checkedAt.minus(MISSED_AFTER));
      return catchUp == CatchUp.SKIP && isMissed ? List.of() : List.of(newest);
    }

    /** After what was fired, or after all that has passed where nothing of it is left to fire. */
    Optional<Instant> nextAfter(List<Instant> fired) {
      return cron.nextAfter(
          catchUp == CatchUp.ALL && !fired.isEmpty() ? fired.get(fired.size() - 1) : checkedAt);
    }
  }

  /**
   * Fires what is due, in the connection's transaction. The caller commits: then the fires and
   * their events are there; or rolls back: then the ticks are due as before.
   *
   * @throws SQLException when the database is at fault; the caller rolls back
   */
  public Firing fireDue(Connection connection) throws SQLException {
    if (connection.getAutoCommit()) {
      throw new IllegalArgumentException("connection must be in a transaction, was in auto-commit");
    }
    List<String> broken = new ArrayList<>();
    List<Fire> fires = new ArrayList<>();
    List<Due> claimed = claim(connection, broken);
    if (!claimed.isEmpty()) {
      try (Statement statement = connection.createStatement()) {
        statement.execute(PATIENCE);
      }
    }
    for (Due due : claimed) {
      if (!fireTicks(connection, due, fires)) {
        break; // The caller commits, so that nobody waits for what has been fired.
      }
    }
    return new Firing(fires, untilNext(connection, broken));
  }

  /** False when a tick has to wait: that and the later ones are due as before. */
  private boolean fireTicks(Connection connection, Due due, List<Fire> fires) throws SQLException {
    List<Instant> ticks = due.ticks();
    for (Instant tick : ticks) {
      try {
        fireOrDrop(connection, due, tick).ifPresent(fires::add);
      } catch (SQLException e) {
        if (DatabaseFault.of(e).orElse(DatabaseFault.OTHER) != DatabaseFault.CONTENTION) {
          throw e;
        }
        if (tick.isAfter(ticks.get(0))) {
          setNext(connection, due, Optional.of(tick));
        }
        putOff(due, tick);
        return false;
      }
    }
    waiting.remove(due.name());
    setNext(connection, due, due.nextAfter(ticks));
    return true;
  }

  private void putOff(Due due, Instant tick) {
    if (!waiting.remove(due.name())) {
      LOG.warn(
          "the tick of schedule {} at {} waits for who else emits with its dedupe key",
          due.name(),
          tick);
    }
    waiting.add(due.name());
  }

  /** The readable schedules that are due; the names of the others are added to the broken ones. */
  private List<Due> claim(Connection connection, List<String> broken) throws SQLException {
    List<Due> due = new ArrayList<>();
    try (PreparedStatement statement = connection.prepareStatement(CLAIM)) {
      statement.setArray(1, connection.createArrayOf("text", waiting.toArray()));
      statement.setInt(2, MAX_SCHEDULES);
      try (ResultSet row = statement.executeQuery()) {
        while (row.next()) {
          String name = row.getString("name");
          Optional<CronExpression> cron = read(name, row);
          if (cron.isPresent()) {
            due.add(
                new Due(
                    name,
                    cron.get(),
                    CatchUp.of(row.getString("catch_up")),
                    moment(row, "next_fire_at"),
                    required(row, "checked_at")));
          } else {
            broken.add(name);
          }
        }
      }
    }
    return due;
  }

  private Optional<CronExpression> read(String name, ResultSet row) throws SQLException {
    try {
      CronExpression cron =
          CronExpression.parse(name, row.getString("cron"), row.getString("zone"));
      toldProblems.remove(name);
      return Optional.of(cron);
    } catch (InvalidScheduleException e) {
      String problem = String.valueOf(e.getMessage());
      if (!problem.equals(toldProblems.put(name, problem))) {
        LOG.error("{}: it does not fire until it is mended", problem);
      }
      return Optional.empty();
    }
  }

  /**
   * Fires a tick; empty when it was fired before, or when the database refused its event.
   *
   * @throws SQLException otherwise; what was done before the tick stands
   */
  private static Optional<Fire> fireOrDrop(Connection connection, Due due, Instant tick)
      throws SQLException {
    Savepoint before = connection.setSavepoint();
    try {
      Optional<Fire> fire = fire(connection, due, tick);
      connection.releaseSavepoint(before);
      return fire;
    } catch (SQLException e) {
      DatabaseFault fault = DatabaseFault.of(e).orElse(DatabaseFault.OTHER);
      if (fault == DatabaseFault.CONTENTION || fault == DatabaseFault.REJECTED) {
        connection.rollback(before);
        connection.releaseSavepoint(before);
      }
      if (fault != DatabaseFault.REJECTED) {
        throw e;
      }
      LOG.error(
          "the tick of schedule {} at {} is dropped: its event was refused", due.name(), tick, e);
      return Optional.empty();
    }
  }

  private static Optional<Fire> fire(Connection connection, Due due, Instant tick)
      throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(FIRE)) {
      statement.setObject(1, tick.atOffset(ZoneOffset.UTC));
      statement.setString(2, due.cron().local(tick).toLocalDate().toString());
      statement.setString(3, due.name());
      try (ResultSet row = statement.executeQuery()) {
        return row.next()
            ? Optional.of(
                new Fire(due.name(), tick, required(row, "fired_at"), row.getString("event_id")))
            : Optional.empty();
      }
    }
  }

  private static void setNext(Connection connection, Due due, Optional<Instant> tick)
      throws SQLException {
    OffsetDateTime next = tick.map(moment -> moment.atOffset(ZoneOffset.UTC)).orElse(NEVER);
    try (PreparedStatement statement = connection.prepareStatement(SET_NEXT)) {
      statement.setObject(1, next);
      statement.setString(2, due.name());
      statement.executeUpdate();
    }
  }

  private static Optional<Duration> untilNext(Connection connection, List<String> broken)
      throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(UNTIL_NEXT)) {
      statement.setArray(1, connection.createArrayOf("text", broken.toArray()));
      try (ResultSet row = statement.executeQuery()) {
        row.next();
        Optional<Instant> next = moment(row, "next_fire_at");
        if (next.isEmpty()) {
          return Optional.empty();
        }
        Duration left = Duration.between(required(row, "checked_at"), next.get());
        return Optional.of(left.isNegative() ? Duration.ZERO : left);
      }
    }
  }
}
