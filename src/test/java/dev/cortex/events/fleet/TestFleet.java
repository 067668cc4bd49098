package dev.cortex.events.fleet;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.outbox.Outbox;
import dev.cortex.events.schedule.Fire;
import dev.cortex.events.schedule.Timekeeper;
import dev.cortex.events.telemetry.Telemetry;
import dev.cortex.events.worker.Worker;
import dev.cortex.events.worker.WorkerOptions;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/** A fleet to test: emits, lets real workers handle, and looks at what is there afterwards. */
final class TestFleet {
  private static final Duration PATIENCE = Duration.ofSeconds(60);

  private final TestDatabase database;

  TestFleet(TestDatabase database) {
    this.database = database;
  }

  /** Makes the handlers known, so that what is emitted from now on is delivered to them. */
  void register() throws SQLException, InterruptedException {
    handle();
  }

  String emit(EventDraft draft) throws SQLException {
    try (Connection connection = database.connection()) {
      return new Outbox().emit(connection, draft);
    }
  }

  void emitAll(List<EventDraft> drafts) throws SQLException {
    try (Connection connection = database.connection()) {
      new Outbox().emitAll(connection, drafts);
    }
  }

  /** Handles all that is due, what is emitted on the way too, with two workers at once. */
  void handle() throws SQLException, InterruptedException {
    handle(FleetHandlers.all());
  }

  void handle(List<HandlerDefinition> handlers) throws SQLException, InterruptedException {
    try (CortexEvents cortex =
        CortexEvents.connect(database.address("cortex_worker")).withTelemetry(Telemetry.silent())) {
      Worker first = cortex.work(handlers, WorkerOptions.defaults().withSlots(3));
      Worker second = cortex.work(handlers, WorkerOptions.defaults().withSlots(3));
      assertThat(first.awaitDrained(PATIENCE)).isTrue();
      assertThat(second.awaitDrained(PATIENCE)).isTrue();
      assertThat(first.awaitDrained(PATIENCE)).isTrue();
    }
  }

  /** Fires a schedule, for a tick of this moment. */
  void tick(String schedule) throws SQLException {
    run(
        "update cortex.schedules set next_fire_at = clock_timestamp() where name = '"
            + schedule
            + "'");
    try (Connection connection = database.address("cortex_worker").dataSource().getConnection()) {
      connection.setAutoCommit(false);
      assertThat(new Timekeeper().fireDue(connection).fires())
          .extracting(Fire::schedule)
          .contains(schedule);
      connection.commit();
    }
  }

  /** Starts again from nothing, which the log allows nobody but a superuser. */
  void clear() throws SQLException {
    asSuperuser("update cortex.schedules set next_fire_at = clock_timestamp() + interval '1 day'");
    asSuperuser(
        """
        do $$
        begin
          execute (
            select 'truncate cortex.events, cortex.deliveries, cortex.attempts, cortex.dedupe_keys, '
                   || string_agg(format('fleet.%I', t.tablename), ', ')
              from pg_catalog.pg_tables t
             where t.schemaname = 'fleet' and t.tablename not in ('settings', 'schema_history'));
        end $$
        """);
  }

  /** Without triggers: what the engine lets nobody do, such as changing when an event came. */
  void asSuperuser(String sql) throws SQLException {
    try (Connection connection = database.superuserAddress().dataSource().getConnection();
        Statement statement = connection.createStatement()) {
      statement.execute("set session_replication_role = replica");
      statement.execute(sql);
    }
  }

  void run(String sql) throws SQLException {
    try (Connection connection = database.connection();
        PreparedStatement statement = connection.prepareStatement(sql)) {
      statement.execute();
    }
  }

  /** The first column of a question's rows, as text. */
  List<String> rows(String sql) throws SQLException {
    try (Connection connection = database.connection()) {
      return rows(connection, sql);
    }
  }

  /** The same, as a login of this role. */
  List<String> rows(String role, String sql) throws SQLException {
    try (Connection connection = database.address(role).dataSource().getConnection()) {
      return rows(connection, sql);
    }
  }

  private static List<String> rows(Connection connection, String sql) throws SQLException {
    List<String> rows = new ArrayList<>();
    try (PreparedStatement statement = connection.prepareStatement(sql);
        ResultSet row = statement.executeQuery()) {
      while (row.next()) {
        rows.add(row.getString(1));
      }
    }
    return rows;
  }
}
