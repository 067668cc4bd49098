package dev.cortex.events.interleaving;

import static org.assertj.core.api.Assertions.assertThat;
import static org.assertj.core.api.Assertions.assertThatThrownBy;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.telemetry.EngineEvent.TransactionEnded;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;
import java.util.concurrent.CopyOnWriteArrayList;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.Timeout;
import org.junit.jupiter.api.extension.ExtendWith;
import org.postgresql.PGConnection;

/** Transactions of many short statements, which no timeout of a server before 17 ends. */
@ExtendWith(PostgresExtension.class)
@Timeout(120)
class OverrunsTest {
  private static final String TYPE = "test.overruns";

  private final TestDatabase database;
  private final TestEngine engine;

  OverrunsTest(TestDatabase database) {
    this.database = database;
    this.engine = new TestEngine(database);
  }

  @BeforeEach
  void clear() throws SQLException {
    engine.clear();
    engine.subscribe("busy", TYPE);
  }

  @Test
  void interleaving_22_a_handler_of_many_short_statements_is_ended_by_its_own_worker()
      throws Exception {
    engine.emit(TYPE, 1);
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(
          List.of(
              HandlerDefinition.oneByOne(
                      "busy",
                      (event, context) -> {
                        if (context.attempt() == 1) {
                          workForEver(context.connection());
                        }
                        return Outcome.done();
                      })
                  .on(TYPE)
                  .withRetry(TestEngine.QUICK)
                  .withTimeBudget(Duration.ofMillis(300))));
      engine.awaitNumber(2, "select count(*) from cortex.attempts");
    }
    assertThat(engine.rows(TestEngine.ATTEMPTS, "busy"))
        .containsExactly("0 retry 1 time_budget", "0 done 2");
  }

  /** Its own worker stands still, or has lost its watchdog: here it is a session of the test's. */
  @Test
  void interleaving_22_any_worker_ends_a_slot_past_twice_its_budget() throws Exception {
    List<TransactionEnded> told = new CopyOnWriteArrayList<>();
    engine.run("update cortex.handlers set time_budget = '200 milliseconds' where name = 'busy'");
    engine.subscribe("bystander", TYPE + ".other");
    engine.emit(TYPE, 1);
    try (Connection stuck = database.address("cortex_worker").dataSource().getConnection();
        CortexEvents cortex =
            engine
                .connect(
                    event -> {
                      if (event instanceof TransactionEnded ended) {
                        told.add(ended);
                      }
                    })
                .as("cortex_worker")) { // as the command line does
      stuck.setAutoCommit(false);
      assertThat(engine.claim(stuck, handler("busy"), 1)).hasSize(1);
      show(stuck);
      cortex.work(
          List.of(
              HandlerDefinition.oneByOne("bystander", (event, context) -> Outcome.done())
                  .on(TYPE + ".other")));

      assertThatThrownBy(() -> workForEver(stuck))
          .isInstanceOf(SQLException.class)
          .extracting(error -> ((SQLException) error).getSQLState())
          .isIn("57P01", "08006");
      await().atMost(TestEngine.PATIENCE).until(() -> !told.isEmpty());
    }
    assertThat(told).extracting(TransactionEnded::handler).containsOnly("busy");
    try (Connection other = engine.begin()) {
      assertThat(engine.claim(other, handler("busy"), 1)).as("what it held").hasSize(1);
    }
  }

  /** The slot is cleared from the side, and so may show what has ended. */
  @Test
  void a_later_transaction_of_the_session_is_not_ended_for_the_one_that_the_slot_shows()
      throws Exception {
    engine.run("update cortex.handlers set time_budget = '1 millisecond' where name = 'busy'");
    try (Connection session = engine.begin()) {
      show(session);
      session.rollback();
      engine.run("select pg_sleep(0.01)");
      assertThat(ended()).as("no transaction").isEmpty();
      text(session, "select pg_sleep(0.01)");
      assertThat(ended()).as("the next one, which is past that budget too").isEmpty();
      session.rollback();
      show(session);
      engine.run("select pg_sleep(0.01)");
      assertThat(ended()).as("the one that it shows").containsExactly("busy");
    }
  }

  /** The process id was given out again. */
  @Test
  void a_session_that_is_younger_than_what_the_slot_shows_is_not_ended() throws Exception {
    engine.run("update cortex.handlers set time_budget = '1 millisecond' where name = 'busy'");
    try (Connection innocent = engine.begin()) {
      show(innocent);
      engine.run("update cortex.slots set started_at = started_at - interval '1 day'");
      text(innocent, "select pg_sleep(0.01)");
      assertThat(ended()).isEmpty();
      assertThat(text(innocent, "select 'alive'")).isEqualTo("alive");
    }
  }

  private List<String> ended() throws SQLException {
    return engine.rows("select * from cortex.end_overruns()");
  }

  private short handler(String name) throws SQLException {
    return (short) engine.number("select handler_id from cortex.handlers where name = ?", name);
  }

  /** As a worker shows what a slot of its runs: with the start of the transaction. */
  private void show(Connection transaction) throws SQLException {
    engine.run("delete from cortex.slots");
    engine.run(
        """
        insert into cortex.slots (worker_id, slot, handler_id, events, started_at, pid)
        values (4711, 1, ?, '{}', ?::timestamptz, ?)
        """,
        handler("busy"),
        text(transaction, "select now()::text"),
        transaction.unwrap(PGConnection.class).getBackendPID());
  }

  private static void workForEver(Connection connection) throws SQLException {
    while (true) {
      text(connection, "select 1");
    }
  }

  private static String text(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(sql)) {
      row.next();
      return row.getString(1);
    }
  }
}
