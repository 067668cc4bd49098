package dev.cortex.events.worker;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.InvalidEventException;
import dev.cortex.events.event.Priority;
import dev.cortex.events.handler.EventHandler;
import dev.cortex.events.handler.HandlerContext;
import dev.cortex.events.handler.HandlerDefinition;
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
import java.time.Instant;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** What a worker promises, each promise on a queue of its own. */
@ExtendWith(PostgresExtension.class)
class WorkerTest {
  private static final RetryPolicy QUICK =
      RetryPolicy.defaults().withDelays(Duration.ofMillis(1), Duration.ofMillis(5));
  private static final Duration PATIENCE = Duration.ofSeconds(30);
  private static final AtomicInteger HANDLERS = new AtomicInteger();

  private final TestDatabase database;
  private final String handler = "handler-" + HANDLERS.incrementAndGet();
  private final String type = "test.t" + HANDLERS.get();

  WorkerTest(TestDatabase database) {
    this.database = database;
  }

  @BeforeEach
  void a_type_and_a_table_of_effects() throws SQLException {
    run("insert into cortex.event_types (type) values ('" + type + "')");
    run("create table if not exists effects (handler text, event_id text, attempt int)");
    run("grant all on effects to public");
  }

  @Test
  void a_thousand_events_have_one_effect_and_one_audit_row_each() throws Exception {
    try (Worker worker = start(oneByOne(this::effect))) {
      emit(1000);
      awaitCount(1000, audit("done"));
      assertThat(worker.workerId()).isPositive();
    }
    assertThat(
            count("select count(distinct event_id) from effects where handler = '" + handler + "'"))
        .isEqualTo(1000);
    assertThat(effects()).isEqualTo(1000);
    assertThat(open()).isZero();
  }

  @Test
  void a_failing_event_is_retried_alone_and_its_batch_mates_are_not_charged() throws Exception {
    emit(50);
    HandlerDefinition failsTwice =
        oneByOne(
            (event, context) -> {
              effect(event, context);
              if (number(event.payload().text()) == 7 && context.attempt() <= 2) {
                throw new IllegalStateException("not yet");
              }
              return Outcome.done();
            });
    runUntil(50, audit("done"), failsTwice);
    assertThat(count(audit("retry"))).isEqualTo(2);
    assertThat(count(audit("retry") + " and reason = 'handler_failed' and error like '%not yet'"))
        .isEqualTo(2);
    assertThat(effects()).isEqualTo(50);
    assertThat(count(audit("done") + " and attempt = 3")).isEqualTo(1);
  }

  @Test
  void a_short_time_budget_leaves_the_statements_of_the_engine_their_time() throws Exception {
    emit(1);
    List<String> limits = Collections.synchronizedList(new ArrayList<>());
    HandlerDefinition quick =
        oneByOne(
                (event, context) -> {
                  limits.add(setting(context.connection(), "statement_timeout"));
                  limits.add(setting(context.connection(), "idle_in_transaction_session_timeout"));
                  return Outcome.done();
                })
            .withTimeBudget(Duration.ofMillis(100));
    try (CortexEvents cortex = CortexEvents.connect(database.address("cortex_worker"));
        Worker worker = cortex.work(List.of(quick))) {
      assertThat(worker.workerId()).isPositive();
      awaitCount(1, audit("done"));
    }
    assertThat(limits).containsExactly("1min", "2s");
  }

  private static String setting(Connection connection, String name) throws SQLException {
    try (Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery("show " + name)) {
      row.next();
      return row.getString(1);
    }
  }

  @Test
  void after_its_last_attempt_an_event_is_dead_and_stays_in_the_queue() throws Exception {
    emit(1);
    HandlerDefinition hopeless =
        oneByOne((event, context) -> Outcome.retry("no use")).withRetry(QUICK.withMaxAttempts(3));
    runUntil(1, audit("dead"), hopeless);
    assertThat(count(audit("retry"))).isEqualTo(2);
    assertThat(count(deliveries() + " and run_at = 'infinity' and attempt = 3")).isEqualTo(1);
  }

  @Test
  void what_a_handler_wrote_persists_with_done_only() throws Exception {
    emit(5);
    HandlerDefinition writesFirst =
        oneByOne(
            (event, context) -> {
              effect(event, context);
              return switch (number(event.payload().text())) {
                case 0 -> Outcome.dead("bad data");
                case 1 -> Outcome.cancel("not needed");
                case 2 -> context.attempt() == 1 ? Outcome.retry("again") : Outcome.done();
                case 3 -> Outcome.snooze(Duration.ofHours(1));
                default -> Outcome.done();
              };
            });
    runUntil(2, audit("done"), writesFirst);
    assertThat(effects()).isEqualTo(2);
    assertThat(count(audit("dead"))).isEqualTo(1);
    assertThat(count(audit("cancel"))).isEqualTo(1);
    assertThat(count(audit("snooze"))).isEqualTo(1);
    assertThat(
            count(
                deliveries()
                    + " and attempt = 0 and run_at between now() + '50 min' and now() + '70 min'"))
        .as("snoozed without an attempt being charged")
        .isEqualTo(1);
    assertThat(open()).as("dead and snoozed").isEqualTo(2);
  }

  @Test
  void a_batch_handler_gets_many_at_once_and_a_poisoned_batch_is_redone_one_by_one()
      throws Exception {
    emit(300);
    List<Integer> sizes = Collections.synchronizedList(new ArrayList<>());
    HandlerDefinition batch =
        HandlerDefinition.batch(
                handler,
                (events, context) -> {
                  sizes.add(events.size());
                  for (var event : events) {
                    insertEffect(context.connection(), event.id(), context.attempt(event));
                    if (number(event.payload().text()) == 123) {
                      throw new IllegalArgumentException("poison");
                    }
                  }
                })
            .on(type)
            .withRetry(QUICK.withMaxAttempts(2));
    runUntil(299, audit("done"), batch);
    runUntil(1, audit("dead"), batch);
    assertThat(sizes).anyMatch(size -> size > 50).contains(1);
    assertThat(effects()).isEqualTo(299);
  }

  @Test
  void an_event_emitted_by_a_handler_carries_its_cause_and_its_correlation() throws Exception {
    run("insert into cortex.event_types (type) values ('" + type + ".next')");
    register();
    String cause;
    try (Connection connection = database.connection()) {
      cause = new Outbox().emit(connection, EventDraft.of(type, "test").withPayload("{\"n\": 1}"));
    }
    runUntil(
        1,
        audit("done"),
        oneByOne(
            (event, context) -> {
              context.emit(EventDraft.of(type + ".next", handler));
              return Outcome.done();
            }));
    assertThat(
            count(
                "select count(*) from cortex.events where type = '"
                    + type
                    + ".next'"
                    + " and causation_id = '"
                    + cause
                    + "' and correlation_id = '"
                    + cause
                    + "'"
                    + " and causation_depth = 1"))
        .isEqualTo(1);
  }

  @Test
  void a_handler_may_not_end_or_keep_the_transaction() throws Exception {
    emit(1);
    List<Connection> kept = Collections.synchronizedList(new ArrayList<>());
    List<String> refused = Collections.synchronizedList(new ArrayList<>());
    runUntil(
        1,
        audit("done"),
        oneByOne(
            (event, context) -> {
              kept.add(context.connection());
              refuse(refused, () -> context.connection().commit());
              refuse(refused, () -> context.connection().rollback());
              refuse(refused, () -> context.connection().setAutoCommit(true));
              refuse(refused, () -> context.connection().close());
              return Outcome.done();
            }));
    assertThat(refused).hasSize(4).allMatch(state -> state.equals("25001"));
    refuse(refused, () -> kept.get(0).createStatement().close());
    assertThat(refused).hasSize(5);
  }

  @Test
  void a_handler_that_commits_past_the_guard_is_found_out_and_charged() throws Exception {
    emit(3);
    HandlerDefinition hijacker =
        oneByOne(
                (event, context) -> {
                  Connection connection = PastTheGuard.of(context.connection());
                  try (Statement statement = connection.createStatement()) {
                    statement.execute("commit");
                    statement.execute("begin");
                  }
                  return Outcome.done();
                })
            .withRetry(QUICK.withMaxAttempts(2));
    runUntil(3, audit("dead"), hijacker);
    assertThat(count(audit("dead") + " and reason = 'transaction_ended'")).isEqualTo(3);
    assertThat(count(audit("done"))).isZero();
  }

  @Test
  void an_event_that_overruns_its_time_budget_is_cut_off_and_charged() throws Exception {
    emit(1);
    HandlerDefinition slow =
        oneByOne(
                (event, context) -> {
                  effect(event, context);
                  try (Statement statement = context.connection().createStatement()) {
                    statement.execute("select pg_sleep(60)");
                  }
                  return Outcome.done();
                })
            .withTimeBudget(Duration.ofMillis(200))
            .withRetry(QUICK.withMaxAttempts(2));
    runUntil(1, audit("dead"), slow);
    assertThat(count(audit("retry") + " and reason = 'time_budget'")).isEqualTo(1);
    assertThat(effects()).isZero();
  }

  @Test
  void an_urgent_event_overtakes_a_backlog() throws Exception {
    emit(500);
    try (Connection connection = database.connection()) {
      new Outbox()
          .emit(
              connection,
              EventDraft.of(type, "test")
                  .withPayload("{\"n\": 9999}")
                  .withPriority(Priority.CRITICAL));
    }
    List<Integer> order = Collections.synchronizedList(new ArrayList<>());
    HandlerDefinition recorder =
        oneByOne(
            (event, context) -> {
              order.add(number(event.payload().text()));
              return Outcome.done();
            });
    runUntil(501, audit("done"), recorder, WorkerOptions.defaults().withSlots(1));
    assertThat(order.get(0)).isEqualTo(9999);
  }

  @Test
  void a_delayed_event_is_not_handled_before_it_is_due_and_wakes_a_sleeping_worker()
      throws Exception {
    register();
    Instant runAt = serverNow().plusSeconds(1);
    try (Connection connection = database.connection()) {
      new Outbox()
          .emit(connection, EventDraft.of(type, "test").withPayload("{\"n\": 1}").withRunAt(runAt));
    }
    runUntil(1, audit("done"), oneByOne(this::effect));
    assertThat(count(audit("done") + " and started_at >= '" + runAt + "'")).isEqualTo(1);
  }

  @Test
  void nothing_is_claimed_for_a_paused_handler_until_it_resumes() throws Exception {
    try (Worker worker = start(oneByOne(this::effect))) {
      emit(1);
      awaitCount(1, audit("done"));
      run("select cortex.pause_handler('" + handler + "', 'a test')");
      emit(10);
      assertThat(worker.awaitDrained(PATIENCE)).isTrue();
      assertThat(open()).isEqualTo(10);
      run("select cortex.resume_handler('" + handler + "', 'a test')");
      awaitCount(11, audit("done"));
    }
  }

  @Test
  void closing_finishes_what_runs_and_leaves_the_rest() throws Exception {
    emit(2);
    CountDownLatch started = new CountDownLatch(1);
    CountDownLatch mayGoOn = new CountDownLatch(1);
    Worker worker =
        start(
            oneByOne(
                    (event, context) -> {
                      started.countDown();
                      mayGoOn.await();
                      return effect(event, context);
                    })
                .withMaxBatch(1),
            WorkerOptions.defaults().withSlots(1));
    started.await();
    emit(5);
    Thread closing = new Thread(worker::close);
    closing.start();
    // No more work is taken once it waits for what runs.
    await().atMost(PATIENCE).until(() -> closing.getState() == Thread.State.TIMED_WAITING);
    mayGoOn.countDown();
    closing.join();
    assertThat(count(audit("done"))).isEqualTo(1);
    assertThat(open()).isEqualTo(6);
    assertThat(
            count(
                "select count(*) from cortex.workers where worker_id = "
                    + worker.workerId()
                    + " and stopped_at is not null and not vanished"))
        .isEqualTo(1);
  }

  @Test
  void what_is_not_finished_within_the_grace_period_is_given_back_uncharged() throws Exception {
    emit(3);
    CountDownLatch started = new CountDownLatch(1);
    Worker worker =
        start(
            oneByOne(
                (event, context) -> {
                  effect(event, context);
                  started.countDown();
                  new CountDownLatch(1).await();
                  return Outcome.done();
                }),
            WorkerOptions.defaults().withSlots(1).withGracePeriod(Duration.ofMillis(50)));
    started.await();
    worker.close();
    awaitCount(
        0,
        "select count(*) from pg_locks where relation = 'cortex.deliveries'::regclass and mode ="
            + " 'RowShareLock'");
    assertThat(effects()).isZero();
    assertThat(count(deliveries() + " and attempt = 0")).isEqualTo(3);
    assertThat(
            count(
                "select count(*) from cortex.attempts a join cortex.handlers h using (handler_id)"
                    + " where h.name = '"
                    + handler
                    + "'"))
        .isZero();
  }

  @Test
  void a_batch_that_runs_for_a_while_is_seen_running() throws Exception {
    emit(3);
    CountDownLatch mayGoOn = new CountDownLatch(1);
    try (Worker worker =
        start(
            oneByOne(
                (event, context) -> {
                  mayGoOn.await();
                  return Outcome.done();
                }))) {
      awaitCount(
          3,
          "select coalesce(sum(cardinality(events)), 0) from cortex.slots where worker_id = "
              + worker.workerId());
      mayGoOn.countDown();
      awaitCount(0, "select count(*) from cortex.slots where worker_id = " + worker.workerId());
    }
  }

  @Test
  void a_worker_that_is_taken_for_dead_shows_what_it_runs_when_it_is_back() throws Exception {
    CountDownLatch started = new CountDownLatch(1);
    CountDownLatch mayGoOn = new CountDownLatch(1);
    try (Worker worker =
        start(
            oneByOne(
                (event, context) -> {
                  started.countDown();
                  mayGoOn.await();
                  return Outcome.done();
                }))) {
      String slots = "select count(*) from cortex.slots where worker_id = " + worker.workerId();
      run("update cortex.workers set stopped_at = now() where worker_id = " + worker.workerId());
      emit(1);
      started.await();
      awaitFuneral();
      awaitFuneral(); // two rounds of its housekeeping, so that by now it would be shown
      assertThat(count(slots)).isZero();
      run("update cortex.workers set stopped_at = null where worker_id = " + worker.workerId());
      awaitCount(1, slots);
      mayGoOn.countDown();
      awaitCount(0, slots);
    }
  }

  /** A worker that nobody keeps alive, until it is found. */
  private void awaitFuneral() throws Exception {
    run("insert into cortex.workers (name, version) values ('nobody', 'test')");
    awaitCount(0, "select count(*) from cortex.workers where name = 'nobody' and not vanished");
  }

  @Test
  void an_event_that_breaks_a_rule_makes_the_delivery_that_emits_it_dead_at_once()
      throws Exception {
    emit(1);
    HandlerDefinition emitsNonsense =
        oneByOne(
            (event, context) -> {
              context.emit(EventDraft.of("no.such_type", handler));
              return Outcome.done();
            });
    runUntil(1, audit("dead"), emitsNonsense);
    assertThat(count(audit("retry"))).isZero();
    assertThat(
            count(
                audit("dead")
                    + " and error like '"
                    + InvalidEventException.class.getName()
                    + "%no.such_type%'"))
        .isEqualTo(1);
  }

  private HandlerDefinition oneByOne(EventHandler work) {
    return HandlerDefinition.oneByOne(handler, work).on(type).withRetry(QUICK);
  }

  private Outcome effect(dev.cortex.events.event.Event event, HandlerContext context)
      throws SQLException {
    insertEffect(context.connection(), event.id(), context.attempt());
    return Outcome.done();
  }

  private void insertEffect(Connection connection, String eventId, int attempt)
      throws SQLException {
    try (PreparedStatement insert =
        connection.prepareStatement("insert into effects values (?, ?, ?)")) {
      insert.setString(1, handler);
      insert.setString(2, eventId);
      insert.setInt(3, attempt);
      insert.executeUpdate();
    }
  }

  private static int number(String payload) {
    return Integer.parseInt(payload.replaceAll("[^0-9]", ""));
  }

  private interface Attempt {
    void run() throws SQLException;
  }

  private static void refuse(List<String> states, Attempt attempt) {
    try {
      attempt.run();
    } catch (SQLException e) {
      states.add(e.getSQLState());
    }
  }

  private void emit(int events) throws SQLException {
    register();
    try (Connection connection = database.connection()) {
      List<EventDraft> drafts = new ArrayList<>();
      for (int n = 0; n < events; n++) {
        drafts.add(EventDraft.of(type, "test").withPayload("{\"n\": " + n + "}"));
      }
      new Outbox().emitAll(connection, drafts);
    }
  }

  /** The handler subscribes before the first event, as it does where it has run before. */
  private void register() throws SQLException {
    run(
        "select cortex.register_handler('"
            + handler
            + "', 'transactional', 20::smallint, '30 s', array['"
            + type
            + "'])");
  }

  private Worker start(HandlerDefinition definition) throws Exception {
    return start(definition, WorkerOptions.defaults());
  }

  private Worker start(HandlerDefinition definition, WorkerOptions options) throws Exception {
    return Worker.start(
        database.dataSource(),
        database.dataSource(),
        List.of(definition),
        options,
        Telemetry.toLog());
  }

  private void runUntil(long expected, String counted, HandlerDefinition definition)
      throws Exception {
    runUntil(expected, counted, definition, WorkerOptions.defaults());
  }

  private void runUntil(
      long expected, String counted, HandlerDefinition definition, WorkerOptions options)
      throws Exception {
    try (Worker worker = start(definition, options)) {
      assertThat(worker.workerId()).isPositive();
      awaitCount(expected, counted);
    }
  }

  private void awaitCount(long expected, String counted) {
    await().atMost(PATIENCE).untilAsserted(() -> assertThat(count(counted)).isEqualTo(expected));
  }

  private String audit(String outcome) {
    return "select count(*) from cortex.attempts join cortex.handlers using (handler_id) where name"
        + " = '"
        + handler
        + "' and outcome = '"
        + outcome
        + "'";
  }

  private String deliveries() {
    return "select count(*) from cortex.deliveries join cortex.handlers using (handler_id) where"
        + " name = '"
        + handler
        + "'";
  }

  private long open() throws SQLException {
    return count(deliveries());
  }

  private long effects() throws SQLException {
    return count("select count(*) from effects where handler = '" + handler + "'");
  }

  private Instant serverNow() throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery("select clock_timestamp()")) {
      row.next();
      return row.getTimestamp(1).toInstant();
    }
  }

  private void run(String sql) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private long count(String sql) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(sql)) {
      row.next();
      return row.getLong(1);
    }
  }
}
