package dev.cortex.events.worker;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.handler.EventHandler;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.handler.RetryPolicy;
import dev.cortex.events.outbox.Outbox;
import dev.cortex.events.telemetry.EngineEvent.SessionChanged;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * What a handler does by SQL to the session that it is lent: neither the next handler nor the
 * engine runs under it. One slot, so that the next handler has the same connection, if anybody has.
 */
@ExtendWith(PostgresExtension.class)
class SessionChangesTest {
  private static final Duration PATIENCE = Duration.ofSeconds(60);
  private static final AtomicInteger TESTS = new AtomicInteger();

  /** What the next handler sees of its session, and what is left behind in it. */
  private static final String SEEN =
      """
      select concat_ws('|', session_user, current_user, current_setting('search_path'),
               current_setting('transaction_isolation'), current_setting('transaction_read_only'),
               current_setting('statement_timeout'), current_setting('timezone'),
               coalesce(current_setting('app.tenant', true), ''),
               (select count(*) from pg_listening_channels()),
               (select count(*) from pg_prepared_statements where from_sql),
               (select count(*) from pg_class where relname = 'left_behind'),
               (select count(*) from pg_locks where locktype = 'advisory' and objid = 4711))
      """;

  private final TestDatabase database;
  private final int number = TESTS.incrementAndGet();
  private final String badType = "test.session" + number + ".bad";
  private final String nextType = "test.session" + number + ".next";
  private final String bad = "bad-" + number;
  private final String next = "next-" + number;
  private final List<String> seen = new CopyOnWriteArrayList<>();
  private final List<SessionChanged> told = new CopyOnWriteArrayList<>();

  SessionChangesTest(TestDatabase database) {
    this.database = database;
  }

  @BeforeEach
  void types() throws SQLException {
    for (String type : List.of(badType, nextType)) {
      run("insert into cortex.event_types (type) values ('" + type + "')");
    }
    run("create table if not exists session_effects (event_id text)");
    run("grant all on session_effects to public");
  }

  static Stream<String> whatTheEngineWorksWith() {
    return Stream.of(
        "set search_path = nowhere",
        "set local search_path = nowhere",
        "select set_config('search_path', 'nowhere', false)",
        "set role cortex_worker",
        "set local role cortex_worker",
        "set role cortex_emitter_of_nobody_else",
        "set session characteristics as transaction isolation level serializable",
        "set session characteristics as transaction read only",
        "set row_security = off");
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("whatTheEngineWorksWith")
  void a_changed_role_search_path_or_mode_is_rolled_back_and_charged(String sql) throws Exception {
    boolean isRole = sql.endsWith("nobody_else");
    if (isRole) {
      runAsSuperuser(
          "do $$ begin create role cortex_emitter_of_nobody_else;"
              + " exception when duplicate_object then null; end $$");
      runAsSuperuser("grant cortex_emitter_of_nobody_else to " + workerLogin());
      runAsSuperuser("grant all on session_effects to cortex_emitter_of_nobody_else");
    }
    String before = runBeside(sql);

    assertThat(reasons(bad)).containsExactly("dead session_changed");
    assertThat(effects()).as("effects of the handler that did").isZero();
    assertThat(seen).as("what the next handler saw").containsExactly(before, before);
  }

  static Stream<String> whatOutlivesATransaction() {
    return Stream.of(
        "set statement_timeout = '1h'",
        "set time zone 'Pacific/Chatham'",
        "set app.tenant = 'somebody'",
        "create temporary table left_behind (n int)",
        "prepare left_behind as select 1",
        "listen left_behind",
        "select pg_advisory_lock(4711)");
  }

  @ParameterizedTest(name = "{0}")
  @MethodSource("whatOutlivesATransaction")
  void what_is_left_behind_goes_with_its_connection_and_is_told(String sql) throws Exception {
    String before = runBeside(sql);

    assertThat(reasons(bad)).containsExactly("done");
    assertThat(told).extracting(SessionChanged::handler).containsExactly(bad);
    assertThat(seen).as("what the next handler saw").containsExactly(before, before);
  }

  @ParameterizedTest(name = "{0}")
  @ValueSource(
      strings = {
        "set local lock_timeout = '1s'",
        "set local statement_timeout = '20s'",
        "select set_config('app.tenant', 'somebody', true)",
        "create temporary table left_behind (n int) on commit drop",
        "select pg_advisory_xact_lock(4711)"
      })
  void what_ends_with_the_transaction_is_nobodys_business(String sql) throws Exception {
    String before = runBeside(sql);

    assertThat(reasons(bad)).containsExactly("done");
    assertThat(told).isEmpty();
    assertThat(seen.get(1).replace("somebody", "")).isEqualTo(before);
  }

  @Test
  void what_a_failed_attempt_leaves_behind_goes_with_its_connection_too() throws Exception {
    String before =
        runBeside("prepare left_behind as select 1; select pg_advisory_lock(4711); select 1/0");

    assertThat(reasons(bad)).containsExactly("dead handler_failed");
    assertThat(told).extracting(SessionChanged::handler).containsExactly(bad);
    assertThat(seen).as("what the next handler saw").containsExactly(before, before);
  }

  /** What no text points at is found within a second of work. */
  @Test
  void what_a_function_leaves_behind_is_found_when_the_connection_is_looked_at() throws Exception {
    run(
        "create or replace function session_thief() returns void language plpgsql as"
            + " $$ begin execute 'set work_mem = ''5MB'''; end $$");
    try (CortexEvents cortex =
        CortexEvents.connect(database.address("cortex_worker"))
            .withTelemetry(
                event -> {
                  if (event instanceof SessionChanged changed) {
                    told.add(changed);
                  }
                })) {
      cortex.work(
          List.of(
              definition(
                  bad,
                  badType,
                  (event, context) -> misbehave(context.connection(), "select session_thief()"))),
          WorkerOptions.defaults().withSlots(1));
      await()
          .atMost(PATIENCE)
          .until(
              () -> {
                try (Connection connection = database.connection()) {
                  new Outbox().emit(connection, EventDraft.of(badType, "test"));
                }
                return !told.isEmpty();
              });
    }
    assertThat(told.get(0)).isEqualTo(new SessionChanged(bad, List.of("setting work_mem")));
  }

  @Test
  void a_session_that_was_changed_under_a_committed_transaction_is_not_used_again()
      throws Exception {
    String before = runBeside("commit; set search_path = nowhere; set role cortex_worker; begin");

    assertThat(reasons(bad)).containsExactly("dead transaction_ended");
    assertThat(seen).as("what the next handler saw").containsExactly(before, before);
  }

  @Test
  void a_session_that_one_event_of_a_batch_has_changed_is_used_for_none_of_the_others()
      throws Exception {
    runAsSuperuser(
        "do $$ begin create role cortex_emitter_of_nobody_else;"
            + " exception when duplicate_object then null; end $$");
    runAsSuperuser("grant cortex_emitter_of_nobody_else to " + workerLogin());
    String sql = "commit; set role cortex_emitter_of_nobody_else; begin";
    try (CortexEvents cortex = CortexEvents.connect(database.address("cortex_worker"))) {
      EventHandler onceBad =
          (event, context) ->
              event.source().equals("bad")
                  ? misbehave(context.connection(), sql)
                  : see(context.connection());
      cortex.work(
          List.of(definition(bad, badType, onceBad)), WorkerOptions.defaults().withSlots(1));
      try (Connection connection = database.connection()) {
        connection.setAutoCommit(false);
        for (String source : List.of("good", "good", "good", "bad")) {
          new Outbox().emit(connection, EventDraft.of(badType, source));
        }
        connection.commit();
      }
      await().atMost(PATIENCE).until(() -> reasons(bad).size() == 4);
    }
    assertThat(reasons(bad))
        .containsExactlyInAnyOrder("done", "done", "done", "dead transaction_ended");
    // Once each, and again those that were in the bad one's batch: a look may have had the head.
    assertThat(seen).as("what the others saw").hasSizeBetween(4, 6).containsOnly(seen.get(0));
  }

  /** Runs the next handler, the bad one and the next one again; returns what the first saw. */
  private String runBeside(String sql) throws Exception {
    try (CortexEvents cortex =
        CortexEvents.connect(database.address("cortex_worker"))
            .withTelemetry(
                event -> {
                  if (event instanceof SessionChanged changed) {
                    told.add(changed);
                  }
                })) {
      cortex.work(
          List.of(
              definition(bad, badType, (event, context) -> misbehave(context.connection(), sql)),
              definition(next, nextType, (event, context) -> see(context.connection()))),
          WorkerOptions.defaults().withSlots(1));
      for (String type : List.of(nextType, badType, nextType)) {
        int ended = reasons(bad).size() + reasons(next).size();
        try (Connection connection = database.connection()) {
          new Outbox().emit(connection, EventDraft.of(type, "test"));
        }
        await()
            .atMost(PATIENCE)
            .until(() -> reasons(bad).size() + reasons(next).size() == ended + 1);
      }
    }
    assertThat(reasons(next)).containsExactly("done", "done");
    return seen.get(0);
  }

  private static HandlerDefinition definition(String name, String type, EventHandler work) {
    return HandlerDefinition.oneByOne(name, work)
        .on(type)
        .withRetry(RetryPolicy.defaults().withMaxAttempts(1));
  }

  private Outcome misbehave(Connection connection, String sql) throws SQLException {
    boolean isRefused = TransactionCommand.in(sql, () -> true).isPresent();
    Connection used = isRefused ? PastTheGuard.of(connection) : connection;
    try (Statement statement = used.createStatement()) {
      statement.execute("insert into public.session_effects values ('an effect " + number + "')");
      statement.execute(sql);
    }
    return Outcome.done();
  }

  private Outcome see(Connection connection) throws SQLException {
    try (Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(SEEN)) {
      row.next();
      seen.add(row.getString(1));
    }
    return Outcome.done();
  }

  private int effects() throws SQLException {
    return Integer.parseInt(
        texts("select count(*) from session_effects where event_id = 'an effect " + number + "'")
            .get(0));
  }

  private List<String> reasons(String handler) throws SQLException {
    return texts(
        "select concat_ws(' ', a.outcome, a.reason) from cortex.attempts a"
            + " join cortex.handlers h using (handler_id) where h.name = '"
            + handler
            + "' order by a.event");
  }

  private String workerLogin() throws SQLException {
    try (Connection connection = database.address("cortex_worker").dataSource().getConnection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery("select quote_ident(session_user)")) {
      row.next();
      return row.getString(1);
    }
  }

  private List<String> texts(String sql) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(sql)) {
      List<String> texts = new ArrayList<>();
      while (row.next()) {
        texts.add(row.getString(1));
      }
      return texts;
    }
  }

  private void runAsSuperuser(String sql) throws SQLException {
    try (Connection connection = database.superuserAddress().dataSource().getConnection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private void run(String sql) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }
}
