package dev.cortex.events.schedule;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.Json;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneId;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

@ExtendWith(PostgresExtension.class)
class TimekeeperTest {
  private static final String YEARLY = "0 0 1 1 *";
  private static final int SCHEDULES = 200;

  /** A worker's login, and its password. */
  private static final String LOGIN = "cortex_test_firing";

  private final TestDatabase database;
  private final Timekeeper timekeeper = new Timekeeper();

  TimekeeperTest(TestDatabase database) {
    this.database = database;
  }

  @BeforeEach
  void start() throws SQLException {
    run("delete from cortex.schedules");
    run("insert into cortex.event_types (type) values ('clock.ticked') on conflict do nothing");
  }

  @Test
  void who_changes_a_schedule_and_why_goes_on_record() throws SQLException {
    run(
        "insert into cortex.schedules (name, cron, type) values ('recorded', '0 2 * * 0', 'clock.ticked')");
    run(
        "begin; set local cortex.reason = 'moved to Monday';"
            + " update cortex.schedules set cron = '0 2 * * 1' where name = 'recorded'; commit");
    run("update cortex.schedules set next_fire_at = null where name = 'recorded'");
    run("delete from cortex.schedules where name = 'recorded'");
    assertThat(
            rows(
                """
                select string_agg(concat_ws(' | ', reason, before ->> 'cron', after ->> 'cron'), '; ' order by id)
                  from cortex.operator_actions
                 where action = 'schedule' and subject ->> 'schedule' = 'recorded'
                """))
        .containsExactly(
            "no reason given | 0 2 * * 0; moved to Monday | 0 2 * * 0 | 0 2 * * 1; no reason given | 0 2 * * 1");
  }

  @Test
  void a_change_of_any_column_of_a_schedule_goes_on_record() throws SQLException {
    run("insert into cortex.event_types (type) values ('clock.struck') on conflict do nothing");
    run(
        "insert into cortex.schedules (name, cron, type) values ('any', '0 2 * * 0', 'clock.ticked')");
    Map<String, String> changes =
        Map.of(
            "cron", "'1 1 1 1 1'",
            "zone", "'Europe/Berlin'",
            "type", "'clock.struck'",
            "payload", "'{\"a\": 1}'",
            "dedupe_key", "'any'",
            "enabled", "false",
            "catch_up", "'skip'",
            "name", "'other'");
    assertThat(
            rows(
                "select column_name from information_schema.columns"
                    + " where table_schema = 'cortex' and table_name = 'schedules' and column_name <> 'next_fire_at'"))
        .as("tried here")
        .containsExactlyInAnyOrderElementsOf(changes.keySet());
    for (Map.Entry<String, String> change : changes.entrySet()) {
      run(
          "update cortex.schedules set %s = %s where name in ('any', 'other')"
              .formatted(change.getKey(), change.getValue()));
      assertThat(
              rows(
                  """
                  select (before -> '%1$s' is distinct from after -> '%1$s')::text
                    from cortex.operator_actions
                   where action = 'schedule'
                   order by id desc
                   limit 1
                  """
                      .formatted(change.getKey())))
          .as(change.getKey())
          .containsExactly("true");
    }
  }

  @Test
  void a_new_schedule_does_not_fire_but_gets_its_next_tick() throws Exception {
    register(ScheduleDefinition.of("new", "* * * * *", "clock.ticked"));

    Firing firing = fireDue();

    assertThat(firing.fires()).isEmpty();
    assertThat(firing.untilNext().orElseThrow()).isBetween(Duration.ZERO, Duration.ofSeconds(60));
    assertThat(schedule("new").nextTick()).isPresent();
  }

  @Test
  void ticks_missed_in_an_outage_are_made_up_for_by_one_fire_for_the_newest() throws Exception {
    register(
        ScheduleDefinition.of("daily", "0 12 * * *", "clock.ticked")
            .withZone(ZoneId.of("Pacific/Kiritimati"))
            .withPayload(Json.parse("payload", "{\"date\": \"$date\", \"n\": 1}")));
    run("update cortex.schedules set next_fire_at = clock_timestamp() - interval '10 days'");

    Firing firing = fireDue();

    Fire fire = firing.fires().get(0);
    assertThat(firing.fires()).hasSize(1);
    assertThat(fire.tick()).isAfter(fire.firedAt().minus(Duration.ofHours(25)));
    assertThat(fire.tick()).isBeforeOrEqualTo(fire.firedAt());
    String localDate = fire.tick().atZone(ZoneId.of("Pacific/Kiritimati")).toLocalDate().toString();
    assertThat(
            rows(
                "select payload::text from cortex.event_log where event_id = '"
                    + fire.eventId()
                    + "'"))
        .containsExactly("{\"n\": 1, \"date\": \"" + localDate + "\"}");
    assertThat(schedule("daily").lastFire()).contains(fire);
    assertThat(fireDue().fires()).isEmpty();
  }

  @Test
  void a_schedule_that_skips_fires_no_tick_that_was_missed_by_more_than_a_minute()
      throws Exception {
    register(ScheduleDefinition.of("skipping", YEARLY, "clock.ticked").withCatchUp(CatchUp.SKIP));
    register(
        ScheduleDefinition.of("on-time", "* * * * *", "clock.ticked").withCatchUp(CatchUp.SKIP));
    makeDue("skipping");
    run(
        "update cortex.schedules set next_fire_at = date_trunc('minute', clock_timestamp()) - interval '3 days'"
            + " where name = 'on-time'");

    assertThat(fireDue().fires()).extracting(Fire::schedule).containsExactly("on-time");
    assertThat(schedule("skipping").nextTick().orElseThrow()).isAfter(Instant.now());
    assertThat(schedule("skipping").lastFire()).isEmpty();
  }

  @Test
  void a_schedule_that_makes_up_for_all_fires_each_missed_tick_once_the_oldest_first()
      throws Exception {
    register(
        ScheduleDefinition.of("all", "*/5 * * * *", "clock.ticked")
            .withCatchUp(CatchUp.ALL)
            .withPayload(Json.parse("payload", "{\"date\": \"$date\"}")));
    // 288 ticks a day: three hundred and some, of which one transaction fires a hundred.
    run(
        "update cortex.schedules set next_fire_at ="
            + " date_bin('5 minutes', clock_timestamp(), 'epoch') - interval '25 hours'");

    List<Fire> fires = new ArrayList<>(fireDue().fires());
    assertThat(fires).hasSize(100);
    for (Firing next = fireDue(); !next.fires().isEmpty(); next = fireDue()) {
      fires.addAll(next.fires());
    }

    assertThat(fires)
        .hasSizeBetween(301, 302)
        .extracting(Fire::tick)
        .isSorted()
        .doesNotHaveDuplicates();
    assertThat(Duration.between(fires.get(0).tick(), fires.get(fires.size() - 1).tick()))
        .isEqualTo(Duration.ofMinutes(5L * (fires.size() - 1)));
    assertThat(schedule("all").nextTick().orElseThrow()).isAfter(Instant.now());
  }

  @Test
  void the_view_shows_what_each_schedule_fired_last_and_when_it_fires_next() throws Exception {
    register(ScheduleDefinition.of("seen", YEARLY, "clock.ticked"));
    makeDue("seen");
    Fire fire = fireDue().fires().get(0);

    assertThat(
            rows(
                "select concat_ws(' ', catch_up, last_event, last_tick < next_tick, next_tick > now())"
                    + " from cortex.schedule_status where schedule = 'seen'"))
        .containsExactly("once " + fire.eventId() + " t t");
    run("update cortex.schedules set enabled = false");
    assertThat(rows("select coalesce(next_tick::text, 'none') from cortex.schedule_status"))
        .containsExactly("none");
  }

  @Test
  void a_firing_that_is_rolled_back_leaves_the_tick_due() throws Exception {
    register(ScheduleDefinition.of("yearly", YEARLY, "clock.ticked"));
    makeDue("yearly");
    try (Connection connection = worker()) {
      assertThat(timekeeper.fireDue(connection).fires()).hasSize(1);
      connection.rollback();
    }

    assertThat(fireDue().fires()).hasSize(1);
    assertThat(rows("select source from cortex.event_log where source = 'schedule:yearly'"))
        .hasSize(1);
  }

  @Test
  void a_tick_that_was_fired_is_not_fired_again_although_an_operator_sets_it_back()
      throws Exception {
    register(ScheduleDefinition.of("again", YEARLY, "clock.ticked"));
    makeDue("again");
    assertThat(fireDue().fires()).hasSize(1);
    makeDue("again");

    assertThat(fireDue().fires()).isEmpty();
    assertThat(schedule("again").nextTick().orElseThrow()).isAfter(Instant.now());
  }

  @Test
  void a_schedule_that_cannot_be_read_stops_no_other_and_is_shown_with_its_problem()
      throws Exception {
    run(
        "insert into cortex.schedules (name, cron, zone, type) values"
            + " ('a-cron', 'whenever', 'UTC', 'clock.ticked'),"
            + " ('b-zone', '* * * * *', 'Nowhere', 'clock.ticked'),"
            + " ('c-never', '0 0 30 2 *', 'UTC', 'clock.ticked')");
    register(ScheduleDefinition.of("d-good", YEARLY, "clock.ticked"));
    fireDue();
    makeDue("d-good");

    Firing firing = fireDue();

    assertThat(firing.fires()).extracting(Fire::schedule).containsExactly("d-good");
    assertThat(firing.untilNext().orElseThrow()).isPositive();
    assertThat(schedule("a-cron").problem().orElseThrow()).contains("cron must be five fields");
    assertThat(schedule("b-zone").problem().orElseThrow()).contains("zone must be a time zone");
    assertThat(schedule("c-never").problem()).contains("the cron expression has no tick");
    assertThat(schedule("d-good").problem()).isEmpty();
  }

  @Test
  void a_tick_whose_event_is_refused_is_dropped_and_stops_no_other() throws Exception {
    run(
        "insert into cortex.schedules (name, cron, type, payload) values ('a-huge', '"
            + YEARLY
            + "', 'clock.ticked', jsonb_build_object('x', repeat('x', 300000)))");
    register(ScheduleDefinition.of("b-good", YEARLY, "clock.ticked"));
    makeDue("a-huge");
    makeDue("b-good");

    assertThat(fireDue().fires()).extracting(Fire::schedule).containsExactly("b-good");
    assertThat(fireDue().fires()).isEmpty();
  }

  /** Somebody emits with the key of one schedule, and stays open. */
  @Test
  void a_tick_whose_dedupe_key_is_held_waits_and_stops_no_other() throws Exception {
    register(
        ScheduleDefinition.of("a-stuck", YEARLY, "clock.ticked").withDedupeKey("nightly-held"));
    register(ScheduleDefinition.of("b-fine", YEARLY, "clock.ticked"));
    register(ScheduleDefinition.of("c-fine", YEARLY, "clock.ticked"));
    fireDue();
    List<Fire> fires = new ArrayList<>();
    try (Connection open = database.connection()) {
      open.setAutoCommit(false);
      run(open, "select cortex.emit('clock.ticked', 'test', dedupe_key => 'nightly-held')");
      makeDue("a-stuck");
      makeDue("b-fine");
      fires.addAll(fireDue().fires());
      fires.addAll(fireDue().fires());
      makeDue("c-fine");
      fires.addAll(fireDue().fires());
      assertThat(fires).extracting(Fire::schedule).containsExactly("b-fine", "c-fine");
      assertThat(schedule("a-stuck").nextTick().orElseThrow()).isBefore(Instant.now());
      open.rollback();
    }

    assertThat(fireDue().fires()).extracting(Fire::schedule).containsExactly("a-stuck");
    assertThat(schedule("a-stuck").nextTick().orElseThrow()).isAfter(Instant.now());
  }

  @Test
  void a_schedule_enabled_again_does_not_fire_for_the_time_when_it_was_not() throws Exception {
    register(ScheduleDefinition.of("pausing", YEARLY, "clock.ticked"));
    makeDue("pausing");
    run("update cortex.schedules set enabled = false");
    assertThat(fireDue().fires()).isEmpty();
    run("update cortex.schedules set enabled = true");

    assertThat(fireDue().fires()).isEmpty();
  }

  @Test
  void registering_the_same_definition_again_changes_nothing() throws Exception {
    ScheduleDefinition definition = ScheduleDefinition.of("same", YEARLY, "clock.ticked");

    assertThat(register(definition)).isTrue();
    assertThat(register(definition)).isFalse();
    assertThat(register(definition.withZone(ZoneId.of("Europe/Berlin")))).isTrue();
  }

  @Test
  void a_connection_in_auto_commit_is_refused() throws Exception {
    try (Connection connection = database.connection()) {
      assertThatThrownBy(() -> timekeeper.fireDue(connection))
          .hasMessage("connection must be in a transaction, was in auto-commit");
    }
  }

  @Test
  void three_processes_fire_each_tick_once_although_one_is_killed_between_event_and_fire()
      throws Exception {
    run(
        "insert into cortex.schedules (name, cron, type) select 's-' || n, '"
            + YEARLY
            + "', 'clock.ticked' from generate_series(0, "
            + (SCHEDULES - 1)
            + ") n");
    fireDue();
    stopAtFiresOf("s-0");
    asSuperuser("drop role if exists " + LOGIN);
    asSuperuser("create role %1$s login password '%1$s' in role cortex_worker".formatted(LOGIN));
    List<FiringProcess> processes = new ArrayList<>();
    try (Connection gate = database.connection()) {
      gate.setAutoCommit(false);
      run(gate, "select pg_advisory_xact_lock(4711)");
      for (int i = 0; i < 3; i++) {
        processes.add(FiringProcess.start(workerUrl("firing-" + i)));
      }
      makeDue("s-0");
      FiringProcess victim = processes.get(processAtTheGate());
      makeOthersDueOneByOne();

      victim.kill();
      gate.commit();

      await().atMost(Duration.ofSeconds(60)).until(() -> fires() == SCHEDULES);
      assertThat(processes).filteredOn(FiringProcess::isAlive).hasSize(2);
    } finally {
      for (FiringProcess process : processes) {
        process.close();
      }
      asSuperuser("drop role " + LOGIN);
      run("drop trigger stop_at_the_gate on cortex.fires");
    }
    assertThat(fires()).isEqualTo(SCHEDULES);
    assertThat(
            rows(
                "select source from cortex.event_log where source like 'schedule:s-%'"
                    + " group by source having count(*) = 1"))
        .hasSize(SCHEDULES);
  }

  /** Every tick of this schedule waits between its event and its fire until the gate is open. */
  private void stopAtFiresOf(String schedule) throws SQLException {
    run(
        """
        create function cortex.stop_at_the_gate() returns trigger language plpgsql as $$
        begin
          perform pg_advisory_xact_lock_shared(4711);
          return new;
        end
        $$
        """);
    run(
        "create trigger stop_at_the_gate before insert on cortex.fires for each row when (new.schedule = '"
            + schedule
            + "') execute function cortex.stop_at_the_gate()");
  }

  /** The number of the process whose transaction waits at the gate. */
  private int processAtTheGate() {
    String waiting =
        "select right(application_name, 1) from pg_stat_activity"
            + " where application_name like 'firing-%' and wait_event = 'advisory'";
    return await()
        .atMost(Duration.ofSeconds(60))
        .until(
            () -> rows(database.superuserAddress().dataSource().getConnection(), waiting),
            found -> !found.isEmpty())
        .stream()
        .map(Integer::parseInt)
        .findFirst()
        .orElseThrow();
  }

  private void makeOthersDueOneByOne() throws SQLException {
    try (Connection connection = database.connection()) {
      for (int i = 1; i < SCHEDULES; i++) {
        makeDue(connection, "s-" + i);
      }
    }
  }

  private long fires() throws SQLException {
    return rows("select schedule from cortex.fires where schedule like 's-%'").size();
  }

  /** For a process of its own, which cannot be handed a data source. */
  private String workerUrl(String applicationName) {
    return database.superuserAddress().jdbcUrl()
        + "?user="
        + LOGIN
        + "&password="
        + LOGIN
        + "&ApplicationName="
        + applicationName;
  }

  private void asSuperuser(String sql) throws SQLException {
    try (Connection connection = database.superuserAddress().dataSource().getConnection()) {
      run(connection, sql);
    }
  }

  private Connection worker() throws SQLException {
    Connection connection = database.address("cortex_worker").dataSource().getConnection();
    run(connection, "set statement_timeout = '30s'");
    connection.setAutoCommit(false);
    return connection;
  }

  private Firing fireDue() throws SQLException {
    try (Connection connection = worker()) {
      Firing firing = timekeeper.fireDue(connection);
      connection.commit();
      return firing;
    }
  }

  private void makeDue(String schedule) throws SQLException {
    try (Connection connection = database.connection()) {
      makeDue(connection, schedule);
    }
  }

  private static void makeDue(Connection connection, String schedule) throws SQLException {
    run(
        connection,
        "update cortex.schedules set next_fire_at = date_trunc('year', clock_timestamp(), 'UTC')"
            + " where name = '"
            + schedule
            + "'");
  }

  private boolean register(ScheduleDefinition definition) throws SQLException {
    try (Connection connection = database.connection()) {
      return Schedules.register(connection, definition);
    }
  }

  private Schedule schedule(String name) throws SQLException {
    try (Connection connection = worker()) {
      return Schedules.list(connection).stream()
          .filter(schedule -> schedule.name().equals(name))
          .findFirst()
          .orElseThrow();
    }
  }

  private void run(String sql) throws SQLException {
    try (Connection connection = database.connection()) {
      run(connection, sql);
    }
  }

  private static void run(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private List<String> rows(String sql) throws SQLException {
    return rows(database.connection(), sql);
  }

  private static List<String> rows(Connection connection, String sql) throws SQLException {
    List<String> rows = new ArrayList<>();
    try (connection;
        PreparedStatement statement = connection.prepareStatement(sql);
        ResultSet row = statement.executeQuery()) {
      while (row.next()) {
        rows.add(row.getString(1));
      }
    }
    return rows;
  }
}
