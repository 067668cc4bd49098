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
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import javax.sql.DataSource;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** The README's samples, word for word, compiled and run. */
@ExtendWith(PostgresExtension.class)
class ReadmeTest {
  private static final Path ROOT = Path.of(System.getProperty("project.basedir", "."));
  private static final Pattern BLOCK = Pattern.compile("```(java|sql)\n(.*?)```", Pattern.DOTALL);
  private static final Pattern REGION =
      Pattern.compile("// readme\n(.*?)\\s*// end of readme", Pattern.DOTALL);

  private final TestDatabase database;

  ReadmeTest(TestDatabase database) throws SQLException {
    this.database = database;
    run(
        "insert into cortex.event_types (type) values ('order.paid'), ('receipt.written') on conflict do nothing");
    run("create table if not exists orders (id text)");
    run("create table if not exists receipts (order_id text)");
    run("grant all on orders, receipts to public");
  }

  @Test
  void its_java_is_what_this_test_compiles_and_runs() throws IOException {
    String source =
        Files.readString(
            ROOT.resolve("src/test/java/dev/cortex/events/documentation/ReadmeTest.java"));
    List<String> compiled = new ArrayList<>();
    Matcher regions = REGION.matcher(source);
    while (regions.find()) {
      compiled.add(withoutSpace(regions.group(1)));
    }
    assertThat(blocks("java").stream().map(ReadmeTest::withoutSpace))
        .isNotEmpty()
        .isEqualTo(compiled);
  }

  @Test
  void its_sql_runs() throws Exception {
    for (String sql : blocks("sql")) {
      run(sql);
    }
    assertThat(
            count(
                "select count(*) from cortex.events where payload ->> 'order_id' in ('o-17', 'o-18')"))
        .isGreaterThanOrEqualTo(2);
  }

  @Test
  void its_handler_writes_a_receipt_for_the_order_that_was_paid() throws Exception {
    try (CortexEvents cortex = CortexEvents.connect(database.address())) {
      DataSource dataSource = database.dataSource();
      run(
          "select cortex.register_handler('receipts', 'transactional', 20::smallint, '30 s', array['order.paid'])");
      emit(cortex, dataSource);
      handle(cortex);
      await()
          .atMost(Duration.ofSeconds(30))
          .until(() -> count("select count(*) from receipts where order_id = 'o-17'") > 0);
    }
    assertThat(
            count(
                "select count(*) from cortex.events where type = 'receipt.written' and causation_depth = 1"))
        .isGreaterThanOrEqualTo(1);
  }

  private static void emit(CortexEvents cortex, DataSource dataSource) throws SQLException {
    // readme
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
    // end of readme
  }

  private static void handle(CortexEvents cortex) throws Exception {
    // readme
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
    // end of readme
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

  private static List<String> blocks(String language) throws IOException {
    List<String> blocks = new ArrayList<>();
    Matcher matcher = BLOCK.matcher(Files.readString(ROOT.resolve("README.md")));
    while (matcher.find()) {
      if (matcher.group(1).equals(language)) {
        blocks.add(matcher.group(2));
      }
    }
    return blocks;
  }

  private static String withoutSpace(String code) {
    return code.replaceAll("\\s+", "");
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
