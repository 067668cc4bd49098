package dev.cortex.events.worker;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.handler.RetryPolicy;
import dev.cortex.events.telemetry.EngineEvent;
import dev.cortex.events.telemetry.Telemetry;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import java.util.function.UnaryOperator;
import javax.sql.DataSource;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** What a worker lives through, and what it leaves behind. */
@ExtendWith(PostgresExtension.class)
class WorkerLifeTest {
  private static final String TYPE = "test.life";
  private static final Duration PATIENCE = Duration.ofSeconds(30);

  private final TestDatabase database;

  WorkerLifeTest(TestDatabase database) {
    this.database = database;
  }

  @BeforeEach
  void a_type() throws SQLException {
    run("insert into cortex.event_types (type) values ('" + TYPE + "') on conflict do nothing");
  }

  @Test
  void what_was_committed_before_is_handled_when_it_is_drained_however_often_it_rested_before()
      throws Exception {
    try (CortexEvents cortex = CortexEvents.connect(database.address());
        Worker worker = cortex.work(List.of(handler("drained")))) {
      for (int round = 1; round <= 5; round++) {
        assertThat(worker.awaitDrained(PATIENCE)).isTrue();
        emit(20);
        assertThat(worker.awaitDrained(PATIENCE)).isTrue();
        assertThat(done("drained")).isEqualTo(20L * round);
      }
    }
  }

  @Test
  void each_start_is_a_worker_of_its_own_also_under_the_same_name() throws Exception {
    WorkerOptions options = WorkerOptions.defaults().withName("twin");
    try (CortexEvents cortex = CortexEvents.connect(database.address());
        Worker one = cortex.work(List.of(handler("twins")), options);
        Worker two = cortex.work(List.of(handler("twins")), options)) {
      one.close();
      try (Worker next = cortex.work(List.of(handler("twins")), options)) {
        assertThat(List.of(one.workerId(), two.workerId(), next.workerId()))
            .doesNotHaveDuplicates();
        assertThat(number("select count(*) from cortex.workers where name = 'twin'")).isEqualTo(3);
        assertThat(
                number(
                    "select count(*) from cortex.workers where name = 'twin' and stopped_at is null"))
            .isEqualTo(2);
      }
    }
  }

  @Test
  void a_drain_leaves_nothing_that_its_own_schedules_have_emitted() throws Exception {
    run(
        "insert into cortex.schedules (name, cron, type) values ('drained', '* * * * *', '"
            + TYPE
            + "')");
    try {
      for (int round = 0; round < 10; round++) {
        run(
            "update cortex.schedules set next_fire_at = clock_timestamp() - interval '1 minute'"
                + " where name = 'drained'; delete from cortex.fires");
        try (CortexEvents cortex = CortexEvents.connect(database.address());
            Worker worker = cortex.work(List.of(handler("drained-schedule")))) {
          assertThat(worker.awaitDrained(PATIENCE)).isTrue();
          assertThat(worker.drain(PATIENCE)).isTrue();
        }
        assertThat(
                number(
                    "select count(*) from cortex.deliveries join cortex.handlers using (handler_id)"
                        + " where name = 'drained-schedule'"))
            .isZero();
      }
    } finally {
      run("delete from cortex.schedules where name = 'drained'");
    }
  }

  /** As after a cut of the network, when the server has yet to miss the session before. */
  @Test
  void a_worker_works_while_another_session_has_the_lock_of_its_life() throws Exception {
    try (Connection other = database.connection();
        Statement statement = other.createStatement()) {
      try (CortexEvents cortex = CortexEvents.connect(database.address())) {
        cortex.work(List.of(handler("locked-out"))).close();
      }
      statement.execute(
          "select pg_advisory_lock(cortex.worker_lock_class(), last_value::int + 1)"
              + " from cortex.workers_worker_id_seq");
      try (CortexEvents cortex = CortexEvents.connect(database.address());
          Worker worker = cortex.work(List.of(handler("locked-out")))) {
        emit(5);
        assertThat(worker.awaitDrained(PATIENCE)).isTrue();
        assertThat(done("locked-out")).isEqualTo(5);
        statement.execute("select pg_advisory_unlock_all()");
        await()
            .atMost(PATIENCE)
            .until(
                () ->
                    number(
                            "select count(*) from pg_locks where locktype = 'advisory'"
                                + " and classid = cortex.worker_lock_class() and objid = "
                                + worker.workerId())
                        == 1);
      }
    }
  }

  @Test
  void whatever_anybody_notifies_the_worker_keeps_its_session() throws Exception {
    Queue<EngineEvent> told = new ConcurrentLinkedQueue<>();
    try (CortexEvents cortex = CortexEvents.connect(database.address()).withTelemetry(told::add);
        Worker worker = cortex.work(List.of(handler("noise")))) {
      for (String payload : List.of("99999", "32768", "x", ",", "1,,2", "-1")) {
        run("select pg_notify('cortex_wake', '" + payload + "')");
      }
      emit(3);
      assertThat(worker.awaitDrained(PATIENCE)).isTrue();
      assertThat(done("noise")).isEqualTo(3);
    }
    assertThat(told)
        .noneMatch(event -> event instanceof EngineEvent.PartFailed)
        .noneMatch(event -> event instanceof EngineEvent.DatabaseLost);
  }

  @Test
  void telemetry_that_throws_ends_no_part_of_a_worker() throws Exception {
    Telemetry broken =
        event -> {
          throw new NoClassDefFoundError("a class that is not there");
        };
    try (CortexEvents cortex = CortexEvents.connect(database.address()).withTelemetry(broken);
        Worker worker = cortex.work(List.of(handler("untold")))) {
      emit(200);
      assertThat(worker.awaitDrained(PATIENCE)).isTrue();
      assertThat(done("untold")).isEqualTo(200);
    }
  }

  @Test
  void another_database_that_is_away_is_the_handlers_failure_and_not_ours() throws Exception {
    HandlerDefinition definition =
        HandlerDefinition.oneByOne(
                "foreign",
                (event, context) -> {
                  throw new SQLException("the other database is away", "08001");
                })
            .on(TYPE)
            .withRetry(RetryPolicy.defaults().withMaxAttempts(1));
    Queue<EngineEvent> told = new ConcurrentLinkedQueue<>();
    try (CortexEvents cortex = CortexEvents.connect(database.address()).withTelemetry(told::add);
        Worker worker = cortex.work(List.of(definition))) {
      emit(3);
      assertThat(worker.awaitDrained(PATIENCE)).isTrue();
    }
    assertThat(
            number(
                "select count(*) from cortex.attempts join cortex.handlers using (handler_id)"
                    + " where name = 'foreign' and outcome = 'dead' and reason = 'handler_failed'"))
        .isEqualTo(3);
    assertThat(told).noneMatch(event -> event instanceof EngineEvent.DatabaseLost);
  }

  /** As behind a pooler that shares sessions, where LISTEN reaches some session or other. */
  @Test
  void a_worker_that_no_notification_reaches_polls_and_says_so() throws Exception {
    try (Worker worker =
        Worker.start(
            database.dataSource(),
            deaf(database.dataSource()),
            List.of(handler("deaf")),
            WorkerOptions.defaults().withName("deaf"),
            Telemetry.silent())) {
      await()
          .atMost(Duration.ofSeconds(60))
          .until(
              () ->
                  number(
                          "select count(*) from cortex.workers where polls and worker_id = "
                              + worker.workerId())
                      == 1);
      emit(3);
      assertThat(worker.awaitDrained(PATIENCE)).isTrue();
    }
    assertThat(done("deaf")).isEqualTo(3);
  }

  private static DataSource deaf(DataSource source) {
    return proxy(
        DataSource.class,
        source,
        connection ->
            proxy(
                Connection.class,
                connection,
                statement -> proxy(Statement.class, statement, UnaryOperator.identity(), "listen"),
                "nothing"),
        "nothing");
  }

  /**
   * The same, but that it does nothing with such an argument, and that what it makes is changed.
   */
  private static <T> T proxy(
      Class<T> type, Object target, UnaryOperator<Object> change, String ignored) {
    return type.cast(
        Proxy.newProxyInstance(
            WorkerLifeTest.class.getClassLoader(),
            new Class<?>[] {type},
            (proxy, method, arguments) -> {
              if (arguments != null && String.valueOf(arguments[0]).startsWith(ignored)) {
                return false;
              }
              Object result = method.invoke(target, arguments);
              boolean isChanged =
                  method.getName().equals("getConnection")
                      || method.getName().equals("createStatement");
              return isChanged ? change.apply(result) : result;
            }));
  }

  @Test
  void a_start_that_fails_half_way_is_taken_for_nobodys_death() throws Exception {
    runAsSuperuser("revoke execute on function cortex.keep_house from cortex_worker");
    try (CortexEvents cortex = CortexEvents.connect(database.address("cortex_worker"))) {
      assertThatThrownBy(
              () ->
                  cortex.work(
                      List.of(handler("half-way")), WorkerOptions.defaults().withName("half-way")))
          .hasMessageContaining("keep_house");
    } finally {
      runAsSuperuser("grant execute on function cortex.keep_house to cortex_worker");
    }
    assertThat(
            number(
                "select count(*) from cortex.workers where name = 'half-way' and stopped_at is not null and not vanished"))
        .isEqualTo(1);
  }

  @Test
  void two_handlers_of_one_name_are_refused() {
    try (CortexEvents cortex = CortexEvents.connect(database.address())) {
      assertThatThrownBy(() -> cortex.work(List.of(handler("twice"), handler("twice"))))
          .isInstanceOf(IllegalArgumentException.class)
          .hasMessageContaining("must be unique, two were \"twice\"");
    }
  }

  @Test
  void a_pattern_that_no_type_matches_is_told() throws Exception {
    Queue<EngineEvent> told = new ConcurrentLinkedQueue<>();
    try (CortexEvents cortex = CortexEvents.connect(database.address()).withTelemetry(told::add)) {
      cortex.work(List.of(handler("misspelt").on("test.lief"))).close();
    }
    assertThat(told).contains(new EngineEvent.PatternUnmatched("misspelt", "test.lief"));
  }

  @Test
  void a_closed_worker_leaves_no_connection_and_questions_share_theirs() throws Exception {
    try (CortexEvents cortex = CortexEvents.connect(database.address())) {
      cortex.work(List.of(handler("leaving"))).close();
      for (int i = 0; i < 50; i++) {
        cortex.operations().queueStatus();
      }
      await()
          .atMost(PATIENCE)
          .until(() -> sessions("cortex-worker") + sessions("cortex-listener") == 0);
      assertThat(sessions("cortex")).isBetween(1L, 2L);
    }
  }

  private static HandlerDefinition handler(String name) {
    return HandlerDefinition.oneByOne(name, (event, context) -> Outcome.done()).on(TYPE);
  }

  private void emit(int events) throws SQLException {
    run(
        "insert into cortex.events (type, source) select '"
            + TYPE
            + "', 'test' from generate_series(1, "
            + events
            + ")");
  }

  private long done(String handler) throws SQLException {
    return number(
        "select count(*) from cortex.attempts join cortex.handlers using (handler_id)"
            + " where outcome = 'done' and name = '"
            + handler
            + "'");
  }

  private long sessions(String pool) throws SQLException {
    return number(
        "select count(*) from pg_stat_activity where datname = current_database() and application_name = '"
            + pool
            + "'");
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

  private long number(String sql) throws SQLException {
    try (Connection connection = database.superuserAddress().dataSource().getConnection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(sql)) {
      row.next();
      return row.getLong(1);
    }
  }
}
