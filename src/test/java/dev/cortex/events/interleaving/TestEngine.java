package dev.cortex.events.interleaving;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.delivery.ClaimWindow;
import dev.cortex.events.delivery.Delivery;
import dev.cortex.events.delivery.DeliveryStore;
import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.handler.HandlerContext;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.handler.RetryPolicy;
import dev.cortex.events.outbox.Outbox;
import dev.cortex.events.telemetry.Telemetry;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.postgresql.PGConnection;

/** An engine to interleave: sessions of emitters and workers by hand, beside real workers. */
final class TestEngine {
  static final Duration PATIENCE = Duration.ofSeconds(60);

  /** Soon enough that nobody waits for it. */
  static final RetryPolicy QUICK =
      RetryPolicy.defaults().withDelays(Duration.ofMillis(1), Duration.ofMillis(2));

  private final TestDatabase database;
  private final DeliveryStore store = new DeliveryStore();
  private final Outbox outbox = new Outbox();

  TestEngine(TestDatabase database) {
    this.database = database;
  }

  DeliveryStore store() {
    return store;
  }

  /** Starts again from nothing, with a table for effects. */
  void clear() throws SQLException {
    runAsSuperuser(
        """
        set session_replication_role = replica;
        truncate cortex.events, cortex.deliveries, cortex.attempts, cortex.dedupe_keys, cortex.workers,
                 cortex.slots, cortex.handlers, cortex.subscriptions, cortex.routes, cortex.held_types,
                 cortex.lanes, cortex.blocked_keys, cortex.handler_places,
                 cortex.cancel_requests, cortex.backfills, cortex.former_handler_names, cortex.suspects,
                 cortex.implementations;
        create table if not exists effects (handler text, event_id text, attempt int, generation int);
        grant all on effects to public;
        truncate effects""");
  }

  void runAsSuperuser(String sql) throws SQLException {
    try (Connection connection = superuser();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  Connection superuser() throws SQLException {
    return database.superuserAddress().dataSource().getConnection();
  }

  /** A worker that lives as long as this session does. */
  static int enter(Connection session) throws SQLException {
    int worker =
        Integer.parseInt(
            text(
                session,
                "insert into cortex.workers (name, version) values ('by-hand', 'test') returning worker_id"));
    run(session, "select pg_advisory_lock(cortex.worker_lock_class(), ?)", worker);
    return worker;
  }

  /** Ends sessions of others, and returns when their locks are gone. */
  void kill(Connection... sessions) throws SQLException {
    for (Connection session : sessions) {
      runAsSuperuser(
          "select pg_terminate_backend("
              + session.unwrap(PGConnection.class).getBackendPID()
              + ", 10000)");
    }
  }

  /** Makes the type known and subscribes a handler to it. */
  short subscribe(String handler, String type) throws SQLException {
    run("insert into cortex.event_types (type) values (?) on conflict do nothing", type);
    return (short)
        number(
            "select cortex.register_handler(?, 'transactional', 20::smallint, '30 s', array[?])",
            handler,
            type);
  }

  /** Makes the type known and subscribes an ordered handler to it. */
  short subscribeOrdered(String handler, String type, int lanes, String whenDead)
      throws SQLException {
    short handlerId = subscribe(handler, type);
    number(
        "select cortex.order_handler(?::smallint, ?::smallint, ?, '{}')",
        handlerId,
        lanes,
        whenDead);
    return handlerId;
  }

  /** A transaction of somebody's, to be ended by the test. */
  Connection begin() throws SQLException {
    Connection connection = database.connection();
    connection.setAutoCommit(false);
    return connection;
  }

  Connection session() throws SQLException {
    return database.connection();
  }

  String emit(EventDraft draft) throws SQLException {
    try (Connection connection = session()) {
      return emit(connection, draft);
    }
  }

  String emit(Connection connection, EventDraft draft) {
    return outbox.emit(connection, draft);
  }

  List<String> emitAll(Connection connection, List<EventDraft> drafts) {
    return outbox.emitAll(connection, drafts);
  }

  /** Emits events with the payloads {@code {"n": 0}} and so on. */
  List<String> emit(String type, int events) throws SQLException {
    try (Connection connection = session()) {
      return emit(connection, type, events);
    }
  }

  List<String> emit(Connection connection, String type, int events) {
    List<EventDraft> drafts = new ArrayList<>();
    for (int n = 0; n < events; n++) {
      drafts.add(EventDraft.of(type, "test").withPayload("{\"n\": " + n + "}"));
    }
    return outbox.emitAll(connection, drafts);
  }

  static int n(Event event) {
    return Integer.parseInt(event.payload().text().replaceAll("[^0-9]", ""));
  }

  /** What every handler of these tests does: one row. */
  static Outcome effect(String handler, Event event, HandlerContext context) throws SQLException {
    run(
        context.connection(),
        "insert into effects values (?, ?, ?, ?)",
        handler,
        event.id(),
        context.attempt(),
        context.generation());
    return Outcome.done();
  }

  /** The front door, as a login of the worker role. */
  CortexEvents connect(Telemetry telemetry) {
    return CortexEvents.connect(database.address("cortex_worker")).withTelemetry(telemetry);
  }

  CortexEvents connect() {
    return connect(Telemetry.silent());
  }

  List<Delivery> claim(Connection transaction, short handlerId, int limit) throws SQLException {
    return store.claim(transaction, handlerId, ClaimWindow.everything(), limit).deliveries();
  }

  void run(String sql, Object... arguments) throws SQLException {
    try (Connection connection = session()) {
      run(connection, sql, arguments);
    }
  }

  static void run(Connection connection, String sql, Object... arguments) throws SQLException {
    try (PreparedStatement statement = prepared(connection, sql, arguments)) {
      statement.execute();
    }
  }

  long number(String sql, Object... arguments) throws SQLException {
    return Long.parseLong(text(sql, arguments));
  }

  String text(String sql, Object... arguments) throws SQLException {
    try (Connection connection = session()) {
      return text(connection, sql, arguments);
    }
  }

  static String text(Connection connection, String sql, Object... arguments) throws SQLException {
    List<String> rows = rows(connection, sql, arguments);
    return rows.isEmpty() ? "" : rows.get(0);
  }

  List<String> rows(String sql, Object... arguments) throws SQLException {
    try (Connection connection = session()) {
      return rows(connection, sql, arguments);
    }
  }

  private static List<String> rows(Connection connection, String sql, Object... arguments)
      throws SQLException {
    List<String> rows = new ArrayList<>();
    try (PreparedStatement statement = prepared(connection, sql, arguments);
        ResultSet row = statement.executeQuery()) {
      while (row.next()) {
        rows.add(String.valueOf(row.getString(1)));
      }
    }
    return rows;
  }

  private static PreparedStatement prepared(Connection connection, String sql, Object... arguments)
      throws SQLException {
    PreparedStatement statement = connection.prepareStatement(sql);
    for (int i = 0; i < arguments.length; i++) {
      statement.setObject(i + 1, arguments[i]);
    }
    return statement;
  }

  void awaitNumber(long expected, String sql, Object... arguments) {
    await()
        .atMost(PATIENCE)
        .untilAsserted(() -> assertThat(number(sql, arguments)).isEqualTo(expected));
  }

  /** Waits until the session waits for a lock that somebody else holds. */
  void awaitBlocked(Connection session) throws SQLException {
    int pid = session.unwrap(PGConnection.class).getBackendPID();
    awaitNumber(1, "select count(*) from pg_locks where pid = ? and not granted", pid);
  }

  static final String ATTEMPTS =
      """
      select concat_ws(' ', (e.payload ->> 'n'), a.outcome, a.attempt, a.reason)
        from cortex.attempts a
        join cortex.handlers h using (handler_id)
        left join cortex.events e on e.id = a.event
       where h.name = ?
       order by a.event, a.attempt
      """;
}
