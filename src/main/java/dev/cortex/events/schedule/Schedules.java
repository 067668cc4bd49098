package dev.cortex.events.schedule;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * The schedules of a database: asking for them, and adding to them from Java. From SQL a schedule
 * is a row of {@code cortex.schedules}.
 */
public final class Schedules {

  /**
   * Makes a schedule known, or brings its row in line with the definition; one that an operator has
   * disabled stays so. Locks: the schedule's row.
   */
  private static final String REGISTER =
      """
      insert into cortex.schedules as s (name, cron, zone, type, payload, dedupe_key, catch_up)
      values (?, ?, ?, ?, ?::jsonb, ?, ?)
          on conflict (name) do update
         set (cron, zone, type, payload, dedupe_key, catch_up) =
             (excluded.cron, excluded.zone, excluded.type, excluded.payload, excluded.dedupe_key, excluded.catch_up)
       where (s.cron, s.zone, s.type, s.payload, s.dedupe_key, s.catch_up) is distinct from
             (excluded.cron, excluded.zone, excluded.type, excluded.payload, excluded.dedupe_key, excluded.catch_up)
      """;

  private static final String LIST =
      """
      select s.schedule, s.cron, s.zone, s.type, s.enabled, s.catch_up, s.next_tick,
             s.last_tick, s.last_fired_at, s.last_event, clock_timestamp() as checked_at
        from cortex.schedule_status s
       order by s.schedule
      """;

  private Schedules() {}

  /**
   * Adds a schedule or changes the one of its name, in the caller's transaction. Needs the operator
   * role.
   *
   * @return whether anything changed
   */
  public static boolean register(Connection connection, ScheduleDefinition definition)
      throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(REGISTER)) {
      statement.setString(1, definition.name());
      statement.setString(2, definition.cron());
      statement.setString(3, definition.zone().getId());
      statement.setString(4, definition.type());
      statement.setString(5, definition.payload().text());
      statement.setString(6, definition.dedupeKey().orElse(null));
      statement.setString(7, definition.catchUp().word());
      return statement.executeUpdate() > 0;
    }
  }

  /** All schedules, by name. */
  public static List<Schedule> list(Connection connection) throws SQLException {
    List<Schedule> schedules = new ArrayList<>();
    try (PreparedStatement statement = connection.prepareStatement(LIST);
        ResultSet row = statement.executeQuery()) {
      while (row.next()) {
        schedules.add(schedule(row));
      }
    }
    return schedules;
  }

  private static Schedule schedule(ResultSet row) throws SQLException {
    String name = row.getString("schedule");
    String cron = row.getString("cron");
    String zone = row.getString("zone");
    Optional<Instant> next = moment(row, "next_tick");
    Optional<String> problem = Optional.empty();
    try {
      Optional<Instant> worked =
          CronExpression.parse(name, cron, zone).nextAfter(required(row, "checked_at"));
      next = next.or(() -> worked);
      if (next.isEmpty()) {
        problem = Optional.of("the cron expression has no tick");
      }
    } catch (InvalidScheduleException e) {
      next = Optional.empty();
      problem = Optional.of(String.valueOf(e.getMessage()));
    }
    boolean isEnabled = row.getBoolean("enabled");
    return new Schedule(
        name,
        cron,
        zone,
        row.getString("type"),
        isEnabled,
        CatchUp.of(row.getString("catch_up")),
        lastFire(name, row),
        isEnabled ? next : Optional.empty(),
        problem);
  }

  private static Optional<Fire> lastFire(String schedule, ResultSet row) throws SQLException {
    Optional<Instant> tick = moment(row, "last_tick");
    return tick.isEmpty()
        ? Optional.empty()
        : Optional.of(
            new Fire(
                schedule, tick.get(), required(row, "last_fired_at"), row.getString("last_event")));
  }

  static Instant required(ResultSet row, String column) throws SQLException {
    return row.getObject(column, OffsetDateTime.class).toInstant();
  }

  static Optional<Instant> moment(ResultSet row, String column) throws SQLException {
    return Optional.ofNullable(row.getObject(column, OffsetDateTime.class))
        .map(OffsetDateTime::toInstant);
  }
}
