package dev.cortex.events.worker;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.handler.EventHandler;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.handler.RetryPolicy;
import dev.cortex.events.outbox.Outbox;
import dev.cortex.events.telemetry.Telemetry;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** What a handler does to the thread that it is lent. */
@ExtendWith(PostgresExtension.class)
class MisbehaviourTest {
  private static final String TYPE = "test.misbehaviour";

  private final TestDatabase database;

  MisbehaviourTest(TestDatabase database) {
    this.database = database;
  }

  @BeforeEach
  void a_type() throws SQLException {
    run("insert into cortex.event_types (type) values ('" + TYPE + "') on conflict do nothing");
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
        .containsOnly("dead");
  }

  @Test
  void an_outcome_without_a_text_is_charged_like_any_other() throws Exception {
    assertThat(
            outcomes(
                "speechless",
                (event, context) -> Outcome.retry(new NullPointerException().getMessage())))
        .containsOnly("dead");
  }

  @Test
  void a_delay_for_ever_fails_the_attempt() throws Exception {
    assertThat(
            outcomes(
                "eternal", (event, context) -> Outcome.snooze(Duration.ofSeconds(Long.MAX_VALUE))))
        .containsOnly("dead");
  }

  @Test
  void an_error_without_a_describable_message_fails_the_attempt() throws Exception {
    assertThat(
            outcomes(
                "indescribable",
                (event, context) -> {
                  throw new IndescribableException();
                }))
        .containsOnly("dead");
  }

  private static final class IndescribableException extends Exception {
    private static final long serialVersionUID = 1L;

    @Override
    public String getMessage() {
      throw new IllegalStateException("no words");
    }
  }

  /** How three events end, one attempt each, with a worker of one slot. */
  private List<String> outcomes(String name, EventHandler work) throws Exception {
    HandlerDefinition handler =
        HandlerDefinition.oneByOne(name, work)
            .on(TYPE)
            .withRetry(RetryPolicy.defaults().withMaxAttempts(1));
    try (Worker worker =
        Worker.start(
            database.dataSource(),
            database.dataSource(),
            List.of(handler),
            WorkerOptions.defaults().withSlots(1),
            Telemetry.silent())) {
      assertThat(worker.workerId()).isPositive();
      for (int i = 0; i < 3; i++) {
        try (Connection connection = database.connection()) {
          new Outbox().emit(connection, EventDraft.of(TYPE, "test"));
        }
      }
      await().atMost(Duration.ofSeconds(60)).until(() -> ended(name).size() == 3);
      return ended(name);
    } finally {
      run("delete from cortex.subscriptions");
    }
  }

  private List<String> ended(String handler) throws SQLException {
    List<String> outcomes = new ArrayList<>();
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement();
        ResultSet row =
            statement.executeQuery(
                "select outcome from cortex.attempts join cortex.handlers using (handler_id) where name = '"
                    + handler
                    + "'")) {
      while (row.next()) {
        outcomes.add(row.getString(1));
      }
    }
    return outcomes;
  }

  private void run(String sql) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }
}
