package dev.cortex.events.worker;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.handler.EventHandler;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.LeasedHandler;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.handler.RetryPolicy;
import dev.cortex.events.outbox.Outbox;
import dev.cortex.events.telemetry.Telemetry;
import java.io.InputStream;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.FutureTask;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;
import java.util.function.UnaryOperator;
import java.util.stream.Stream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/** What a handler does to the thread that it is lent. */
@ExtendWith(PostgresExtension.class)
class MisbehaviourTest {
  private static final String TYPE = "test.misbehaviour";
  private static final AtomicInteger HANDLERS = new AtomicInteger();

  private final TestDatabase database;

  MisbehaviourTest(TestDatabase database) {
    this.database = database;
  }

  @BeforeEach
  void a_type() throws SQLException {
    run("insert into cortex.event_types (type) values ('" + TYPE + "') on conflict do nothing");
    run(
        "insert into cortex.event_types (type) values ('"
            + TYPE
            + ".flood') on conflict do nothing");
  }

  @Test
  void a_handler_that_leaves_its_thread_interrupted_costs_the_worker_no_slot() throws Exception {
    assertThat(
            outcomes(
                "interrupted",
                (event, context) -> {
                  Thread.currentThread().interrupt();
                  return Outcome.done();
                }))
        .containsOnly("done");
  }

  @Test
  void a_handler_that_throws_an_interruption_of_its_own_is_charged_in_the_end() throws Exception {
    assertThat(
            outcomes(
                "interrupting",
                (event, context) -> {
                  throw new InterruptedException("not the engine's");
                }))
        .containsOnly("dead database_gone");
  }

  @Test
  void an_outcome_without_a_text_is_charged_like_any_other() throws Exception {
    assertThat(
            outcomes(
                "speechless",
                (event, context) -> Outcome.retry(new NullPointerException().getMessage())))
        .containsOnly("dead handler_retry");
  }

  @Test
  void a_delay_for_ever_fails_the_attempt() throws Exception {
    assertThat(
            outcomes(
                "eternal", (event, context) -> Outcome.snooze(Duration.ofSeconds(Long.MAX_VALUE))))
        .containsOnly("dead handler_failed");
  }

  static Stream<Throwable> whatAnswersByThrowing() {
    return Stream.of(
        new Unspeakable(() -> new IllegalStateException("no words")),
        new Unspeakable(() -> new StackOverflowError("no depth")),
        new Unspeakable(() -> new AssertionError("no")),
        new Unspeakable(OutOfMemoryError::new),
        new Unspeakable(() -> new Unspeakable(() -> new AssertionError("nor this"))),
        new WithoutCause(),
        new WithoutState(),
        inACircle());
  }

  @ParameterizedTest(name = "{index}")
  @MethodSource("whatAnswersByThrowing")
  void what_is_thrown_is_charged_whatever_it_answers_when_it_is_asked(Throwable thrown)
      throws Exception {
    assertThat(outcomes("unspeakable", (event, context) -> raise(thrown)))
        .containsOnly("dead handler_failed");
  }

  @ParameterizedTest(name = "{index}")
  @MethodSource("whatAnswersByThrowing")
  void so_it_is_where_a_leased_handler_throws_it(Throwable thrown) throws Exception {
    assertThat(leasedOutcomes("unspeakable-lease", (event, context) -> raise(thrown)))
        .containsOnly("dead handler_failed");
  }

  @ParameterizedTest(name = "{index}")
  @MethodSource("whatAnswersByThrowing")
  void so_it_is_where_a_completion_throws_it(Throwable thrown) throws Exception {
    assertThat(
            leasedOutcomes(
                "unspeakable-completion",
                (event, context) -> {
                  context.complete(connection -> raise(thrown));
                  return Outcome.done();
                }))
        .containsOnly("dead handler_failed");
  }

  private static Outcome raise(Throwable thrown) throws SQLException {
    if (thrown instanceof SQLException error) {
      throw error;
    }
    throw unchecked(thrown);
  }

  private static RuntimeException unchecked(Throwable thrown) {
    if (thrown instanceof Error error) {
      throw error;
    }
    return (RuntimeException) thrown;
  }

  static Stream<Outcome> whatNoDatabaseCanHold() {
    return Stream.of(
        new Outcome.Dead(null),
        new Outcome.Retry(null, Optional.empty()),
        Outcome.dead("zero \0 character"),
        Outcome.dead("half a pair \ud83d"),
        Outcome.dead("x".repeat(7_999) + "\ud83d\ude00 cut into halves"),
        Outcome.retry("\udc00"));
  }

  @ParameterizedTest(name = "{index}")
  @MethodSource("whatNoDatabaseCanHold")
  void an_outcome_is_recorded_whatever_its_text_is(Outcome outcome) throws Exception {
    assertThat(outcomes("unwritable", (event, context) -> outcome))
        .containsOnly(outcome instanceof Outcome.Dead ? "dead handler_dead" : "dead handler_retry");
  }

  @Test
  void a_message_that_no_database_can_hold_is_charged() throws Exception {
    assertThat(
            outcomes(
                "unwritable-message",
                (event, context) -> {
                  throw new IllegalStateException("\0 and \ud800");
                }))
        .containsOnly("dead handler_failed");
  }

  @Test
  void a_cancellation_without_a_reason_is_recorded() throws Exception {
    assertThat(outcomes("reasonless", (event, context) -> new Outcome.Cancel(null)))
        .containsOnly("cancel cancelled");
  }

  @Test
  void memory_that_runs_out_fails_the_attempt_and_no_slot() throws Exception {
    assertThat(
            outcomes(
                "greedy",
                (event, context) -> {
                  List<long[]> kept = new ArrayList<>();
                  while (kept.size() < Integer.MAX_VALUE) {
                    kept.add(new long[Integer.MAX_VALUE / 64]);
                  }
                  return Outcome.retry("kept " + kept.size());
                }))
        .containsOnly("dead handler_failed");
  }

  @Test
  void an_error_fails_the_attempt_and_no_slot() throws Exception {
    assertThat(
            outcomes(
                "erroneous",
                (event, context) -> {
                  throw new AssertionError("thrown as an error");
                }))
        .containsOnly("dead handler_failed");
  }

  @Test
  void a_stack_that_overflows_fails_the_attempt_and_no_slot() throws Exception {
    assertThat(outcomes("overflowing", (event, context) -> dig(1)))
        .containsOnly("dead handler_failed");
  }

  private static Outcome dig(int depth) {
    return depth == 0 ? Outcome.done() : dig(depth + 1);
  }

  static Stream<Throwable> whatAStreamMayThrow() {
    return Stream.of(new StackOverflowError(), new IllegalStateException("no more bytes"));
  }

  /** What the server was sent of the statement ends in the middle of it. */
  @ParameterizedTest
  @MethodSource("whatAStreamMayThrow")
  void an_error_inside_of_the_driver_costs_the_connection_and_is_charged_in_the_end(Throwable error)
      throws Exception {
    assertThat(
            outcomes(
                "half-sent",
                (event, context) -> {
                  try (PreparedStatement statement =
                      context.connection().prepareStatement("select length(?)")) {
                    statement.setBinaryStream(1, streamEndingIn(error), 100_000);
                    statement.execute();
                  } catch (IllegalStateException | StackOverflowError e) {
                    // overlooked
                  }
                  return Outcome.done();
                }))
        .containsOnly("dead database_gone");
  }

  private static InputStream streamEndingIn(Throwable error) {
    return new InputStream() {
      private int read;

      @Override
      public int read() {
        if (++read > 50_000) {
          throw unchecked(error);
        }
        return 1;
      }

      @Override
      public int read(byte[] bytes, int start, int length) {
        bytes[start] = (byte) read();
        return 1;
      }
    };
  }

  static Stream<String> waysToEndOrChangeTheTransactionByText() {
    return Stream.of(
        "commit",
        "rollback",
        "/* done */ end; begin",
        "commit and chain",
        "set transaction read only",
        "set session characteristics as transaction read only");
  }

  @ParameterizedTest
  @MethodSource("waysToEndOrChangeTheTransactionByText")
  void a_handler_that_would_end_or_change_the_transaction_costs_its_neighbours_nothing(String sql)
      throws Exception {
    run("create table if not exists neighbours (handler text, source text)");
    run("grant all on neighbours to public");
    String name = unique("ending");
    List<String> outcomes =
        outcomes(
            HandlerDefinition.oneByOne(
                name,
                (event, context) -> {
                  try (Statement statement = context.connection().createStatement()) {
                    statement.execute(
                        "insert into neighbours values ('" + name + "', '" + event.source() + "')");
                    if (event.source().equals("source-2")) {
                      statement.execute(sql);
                    }
                  }
                  return Outcome.done();
                }));
    assertThat(outcomes).containsExactlyInAnyOrder("done", "dead handler_failed", "done");
    assertThat(texts("select source from neighbours where handler = '" + name + "' order by 1"))
        .containsExactly("source-1", "source-3");
  }

  @Test
  void a_handler_that_emits_without_end_is_stopped_and_nothing_of_it_persists() throws Exception {
    assertThat(
            outcomes(
                "flooding",
                (event, context) -> {
                  while (true) {
                    context.emit(EventDraft.of(TYPE + ".flood", "test"));
                  }
                },
                definition -> definition.withMaxEmitted(1_000)))
        .containsOnly("dead emitted_too_much");
    assertThat(texts("select count(*) from cortex.events where type = '" + TYPE + ".flood'"))
        .containsExactly("0");
  }

  @Test
  void a_handler_that_goes_on_after_it_has_emitted_too_much_is_charged_all_the_same()
      throws Exception {
    assertThat(
            outcomes(
                "overlooking",
                (event, context) -> {
                  for (int i = 0; i < 20; i++) {
                    try {
                      context.emit(EventDraft.of(TYPE + ".flood", "test"));
                    } catch (IllegalStateException e) {
                      // overlooked
                    }
                  }
                  return Outcome.done();
                },
                definition -> definition.withMaxEmitted(10)))
        .containsOnly("dead emitted_too_much");
  }

  @Test
  void a_statement_that_another_thread_has_kept_does_not_reach_the_next_handler() throws Exception {
    BlockingQueue<Statement> kept = new ArrayBlockingQueue<>(3);
    assertThat(
            outcomes(
                "keeping",
                (event, context) -> {
                  kept.add(context.connection().createStatement());
                  return Outcome.done();
                }))
        .containsOnly("done");
    FutureTask<Integer> refused =
        new FutureTask<>(
            () -> {
              int count = 0;
              for (Statement statement : kept) {
                try {
                  statement.execute("select 1");
                } catch (SQLException e) {
                  count++;
                }
              }
              return count;
            });
    new Thread(refused).start();
    assertThat(refused.get()).isEqualTo(3);
  }

  /** The worker has one slot, and the thread is lost for good. */
  @Test
  void a_handler_that_never_returns_costs_its_thread_but_neither_the_event_nor_the_slot()
      throws Exception {
    AtomicBoolean isOver = new AtomicBoolean();
    AtomicInteger lost = new AtomicInteger();
    try {
      assertThat(
              outcomes(
                  "endless",
                  (event, context) -> {
                    if (lost.compareAndSet(0, 1)) {
                      while (!isOver.get()) {
                        Thread.onSpinWait();
                        Thread.interrupted();
                      }
                    }
                    return Outcome.done();
                  },
                  definition -> definition.withMaxBatch(1).withTimeBudget(Duration.ofMillis(200))))
          .containsOnly("done", "dead time_budget");
    } finally {
      isOver.set(true);
    }
  }

  /** Its message cannot be had. */
  private static final class Unspeakable extends RuntimeException {
    private static final long serialVersionUID = 1L;

    private final transient Supplier<Throwable> answer;

    Unspeakable(Supplier<Throwable> answer) {
      this.answer = answer;
    }

    @Override
    public String getMessage() {
      throw unchecked(answer.get());
    }
  }

  /** What it was caused by cannot be had. */
  private static final class WithoutCause extends RuntimeException {
    private static final long serialVersionUID = 1L;

    @Override
    public synchronized Throwable getCause() {
      throw new StackOverflowError("no cause");
    }
  }

  /** Its state cannot be had. */
  private static final class WithoutState extends SQLException {
    private static final long serialVersionUID = 1L;

    @Override
    public String getSQLState() {
      throw new AssertionError("no state");
    }
  }

  private static Throwable inACircle() {
    IllegalStateException first = new IllegalStateException("first");
    IllegalStateException second = new IllegalStateException("second", first);
    first.initCause(second);
    return first;
  }

  /** How three events end, one attempt each, with a worker of one slot. */
  private List<String> outcomes(String name, EventHandler work) throws Exception {
    return outcomes(name, work, definition -> definition);
  }

  private List<String> outcomes(
      String name, EventHandler work, UnaryOperator<HandlerDefinition> change) throws Exception {
    return outcomes(change.apply(HandlerDefinition.oneByOne(unique(name), work)));
  }

  private List<String> leasedOutcomes(String name, LeasedHandler work) throws Exception {
    return outcomes(HandlerDefinition.leased(unique(name), work));
  }

  private static String unique(String name) {
    return name + "-" + HANDLERS.incrementAndGet();
  }

  private List<String> outcomes(HandlerDefinition definition) throws Exception {
    HandlerDefinition handler =
        definition.on(TYPE).withRetry(RetryPolicy.defaults().withMaxAttempts(1));
    try (Worker worker =
        Worker.start(
            database.dataSource(),
            database.dataSource(),
            List.of(handler),
            WorkerOptions.defaults().withSlots(1).withGracePeriod(Duration.ofSeconds(1)),
            Telemetry.silent())) {
      assertThat(worker.workerId()).isPositive();
      try (Connection connection = database.connection()) {
        connection.setAutoCommit(false);
        for (int i = 1; i <= 3; i++) {
          new Outbox().emit(connection, EventDraft.of(TYPE, "source-" + i));
        }
        connection.commit();
      }
      await().atMost(Duration.ofSeconds(60)).until(() -> ended(handler.name()).size() == 3);
      return ended(handler.name());
    } finally {
      run("delete from cortex.subscriptions");
    }
  }

  private List<String> ended(String handler) throws SQLException {
    return texts(
        "select concat_ws(' ', outcome, reason) from cortex.attempts"
            + " join cortex.handlers using (handler_id) where name = '"
            + handler
            + "'");
  }

  private List<String> texts(String sql) throws SQLException {
    List<String> texts = new ArrayList<>();
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(sql)) {
      while (row.next()) {
        texts.add(row.getString(1));
      }
    }
    return texts;
  }

  private void run(String sql) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }
}
