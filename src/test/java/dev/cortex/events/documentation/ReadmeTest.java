package dev.cortex.events.documentation;

import static org.assertj.core.api.Assertions.assertThat;
import static org.awaitility.Awaitility.await;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.worker.Worker;
import java.io.IOException;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;
import javax.sql.DataSource;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** The README's samples, word for word, compiled and run. */
@ExtendWith(PostgresExtension.class)
class ReadmeTest {
  private static final Document README = Document.of("README.md");

  private final TestDatabase database;

  ReadmeTest(TestDatabase database) {
    this.database = database;
  }

  /** The README's own SQL makes the types known that its Java emits: nothing else here does. */
  @BeforeAll
  static void its_sql_runs(TestDatabase database) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement()) {
      for (Document.Block block : README.blocks("sql")) {
        statement.execute(block.text());
      }
      statement.execute("create table orders (id text)");
      statement.execute("create table receipts (order_id text)");
    }
  }

  @Test
  void its_sql_emits() throws SQLException {
    assertThat(
            count(
                """
                select count(*) from cortex.events
                 where type = 'order.paid' and payload ->> 'order_id' in ('o-17', 'o-18')
                """))
        .isGreaterThanOrEqualTo(2);
  }

  @Test
  void its_java_is_what_this_test_compiles_and_runs() throws IOException {
    assertThat(README.java())
        .isNotEmpty()
        .containsExactlyElementsOf(Document.compiledIn(ReadmeTest.class));
  }

  @Test
  void its_handler_writes_a_receipt_for_the_order_that_was_paid() throws Exception {
    try (CortexEvents cortex = CortexEvents.connect(database.address())) {
      handle(cortex);
      emit(cortex, database.dataSource());
      await()
          .atMost(Duration.ofSeconds(30))
          .until(() -> count("select count(*) from receipts where order_id = 'o-17'") > 0);
    }
    assertThat(
            count(
                "select count(*) from cortex.events where type = 'receipt.written' and causation_depth = 1"))
        .isGreaterThanOrEqualTo(1);
  }

  @Test
  void its_connect_needs_no_database() {
    try (CortexEvents connected = connect()) {
      assertThat(connected.outbox()).isNotNull();
    }
  }

  private static void emit(CortexEvents cortex, DataSource dataSource) throws SQLException {
    // documented
    try (Connection connection = dataSource.getConnection()) {
      connection.setAutoCommit(false);
      bookOrder(connection, "o-17");
      cortex
          .outbox()
          .emit(
              connection,
              EventDraft.of("order.paid", "shop").withPayload("{\"order_id\": \"o-17\"}"));
      connection.commit(); // the order and its event, or neither
    }
    // end of documented
  }

  private static CortexEvents connect() {
    // documented
    CortexEvents cortex = CortexEvents.connect("postgresql://shop@localhost/shop");
    // end of documented
    return cortex;
  }

  private static void handle(CortexEvents cortex) throws Exception {
    // documented
    HandlerDefinition receipts =
        HandlerDefinition.oneByOne(
                "receipts",
                (event, context) -> {
                  String order = event.payload().string("order_id").orElseThrow();
                  writeReceipt(context.connection(), order);
                  context.emit(EventDraft.of("receipt.written", "receipts"));
                  return Outcome.done();
                })
            .on("order.paid");

    Worker worker = cortex.work(List.of(receipts));
    // end of documented
    assertThat(worker.workerId()).isPositive();
  }

  private static void bookOrder(Connection connection, String id) throws SQLException {
    insert(connection, "insert into orders values (?)", id);
  }

  private static void writeReceipt(Connection connection, String order) throws SQLException {
    insert(connection, "insert into receipts values (?)", order);
  }

  private static void insert(Connection connection, String sql, String value) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(sql)) {
      statement.setString(1, value);
      statement.executeUpdate();
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
