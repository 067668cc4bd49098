package dev.cortex.events.documentation;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Order;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.handler.RetryPolicy;
import dev.cortex.events.worker.Worker;
import java.io.IOException;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** The samples of docs/handlers.md, word for word, compiled and run. */
@ExtendWith(PostgresExtension.class)
class HandlersGuideTest {

  /** What the samples call to reach the world outside of the database. */
  private static final class Mailer {
    final Map<String, String> sent = new ConcurrentHashMap<>();

    boolean isClosed() {
      return false;
    }

    void send(String idempotencyKey, String text) {
      sent.putIfAbsent(idempotencyKey, text);
    }
  }

  private final TestDatabase database;
  private final Mailer mailer = new Mailer();

  HandlersGuideTest(TestDatabase database) {
    this.database = database;
  }

  @Test
  void its_java_is_what_this_test_compiles_and_runs() throws IOException {
    assertThat(Document.of("docs/handlers.md").java())
        .isNotEmpty()
        .containsExactlyElementsOf(Document.compiledIn(HandlersGuideTest.class));
  }

  @Test
  void its_handlers_do_what_it_says() throws Exception {
    run(
        "insert into cortex.event_types (type) values ('order.paid'), ('receipt.written'), ('receipt.sent')");
    run("create table receipts (order_id text)");
    run("create table sent (event_id text)");
    run("create table order_counts (shop text primary key, orders bigint not null)");
    run("create table order_steps (order_id text)");
    try (CortexEvents cortex = CortexEvents.connect(database.address())) {
      List<HandlerDefinition> handlers = List.of(receipts(), counts(), board(), mails());
      cortex.work(handlers).close(); // makes the handlers known, so that what follows reaches them
      run(
          """
          insert into cortex.events (type, source, payload)
          values ('order.paid', 'north', '{"order_id": "o-1"}'),
                 ('order.paid', 'south', '{"order_id": "o-2"}'),
                 ('order.paid', 'north', '{"order_id": "o-3"}'),
                 ('order.paid', 'north', '{}')
          """);
      drain(cortex, handlers);
    }
    assertThat(texts("select order_id from receipts order by 1"))
        .containsExactly("o-1", "o-2", "o-3");
    assertThat(texts("select shop || ' ' || orders from order_counts order by 1"))
        .containsExactly("north 3", "south 1");
    assertThat(texts("select order_id from order_steps order by 1"))
        .containsExactly("none", "o-1", "o-2", "o-3");
    assertThat(mailer.sent).hasSize(3);
    assertThat(texts("select event_id from sent")).hasSize(3);
    assertThat(texts("select causation_id from cortex.events where type = 'receipt.sent'"))
        .containsExactlyInAnyOrderElementsOf(texts("select event_id from sent"));
    assertThat(texts("select reason from cortex.dead_letters")).containsExactly("handler_dead");
  }

  private static HandlerDefinition receipts() {
    // documented
    HandlerDefinition receipts =
        HandlerDefinition.oneByOne(
                "receipts",
                (event, context) -> {
                  Optional<String> order = event.payload().string("order_id");
                  if (order.isEmpty()) {
                    return Outcome.dead("order_id is missing");
                  }
                  writeReceipt(context.connection(), order.get());
                  context.emit(EventDraft.of("receipt.written", "receipts"));
                  return Outcome.done();
                })
            .on("order.paid")
            .withRetry(
                RetryPolicy.defaults()
                    .withMaxAttempts(5)
                    .withDelays(Duration.ofSeconds(10), Duration.ofMinutes(10)))
            .withTimeBudget(Duration.ofSeconds(20));
    // end of documented
    return receipts;
  }

  private static HandlerDefinition counts() {
    // documented
    HandlerDefinition counts =
        HandlerDefinition.batch(
                "order-counts",
                (events, context) -> {
                  Map<String, Long> paid = new TreeMap<>(); // sorted: batches lock in one order
                  events.forEach(event -> paid.merge(event.source(), 1L, Long::sum));
                  addCounts(context.connection(), paid);
                })
            .on("order.*")
            .withMaxBatch(500);
    // end of documented
    return counts;
  }

  // documented
  static void addCounts(Connection connection, Map<String, Long> paid) throws SQLException {
    String sql =
        """
        insert into order_counts as c (shop, orders)
        select * from unnest(?, ?)
            on conflict (shop) do update set orders = c.orders + excluded.orders
        """;
    try (PreparedStatement upsert = connection.prepareStatement(sql)) {
      upsert.setArray(1, connection.createArrayOf("text", paid.keySet().toArray()));
      upsert.setArray(2, connection.createArrayOf("bigint", paid.values().toArray()));
      upsert.executeUpdate();
    }
  }

  // end of documented

  private static HandlerDefinition board() {
    // documented
    HandlerDefinition board =
        HandlerDefinition.oneByOne(
                "order-board",
                (event, context) -> {
                  showStep(context.connection(), event);
                  return Outcome.done();
                })
            .on("order.*")
            .ordered(
                Order.byKey()
                    .withKeyPath("order.*", "order_id")
                    .withLanes(8)
                    .withDead(Order.WhenDead.SKIP));
    // end of documented
    return board;
  }

  private static void showStep(Connection connection, Event event) throws SQLException {
    try (PreparedStatement insert =
        connection.prepareStatement("insert into order_steps values (?)")) {
      insert.setString(1, event.payload().string("order_id").orElse("none"));
      insert.executeUpdate();
    }
  }

  private HandlerDefinition mails() {
    // documented
    HandlerDefinition mails =
        HandlerDefinition.leased(
                "mails",
                (event, context) -> {
                  if (mailer.isClosed()) {
                    return Outcome.snooze(Duration.ofMinutes(5)); // costs no attempt
                  }
                  mailer.send(context.idempotencyKey(), event.payload().text());
                  context.complete(connection -> recordSent(connection, event.id()));
                  context.emit(EventDraft.of("receipt.sent", "mails"));
                  return Outcome.done();
                })
            .on("receipt.written")
            .withLease(Duration.ofSeconds(20))
            .withMaxRunning(2);
    // end of documented
    return mails;
  }

  private static void drain(CortexEvents cortex, List<HandlerDefinition> handlers)
      throws Exception {
    // documented
    try (Worker worker = cortex.work(handlers)) {
      worker.awaitDrained(Duration.ofMinutes(1));
    }
    // end of documented
  }

  private static void writeReceipt(Connection connection, String order) throws SQLException {
    try (PreparedStatement insert =
        connection.prepareStatement("insert into receipts values (?)")) {
      insert.setString(1, order);
      insert.executeUpdate();
    }
  }

  private static void recordSent(Connection connection, String eventId) throws SQLException {
    try (PreparedStatement insert = connection.prepareStatement("insert into sent values (?)")) {
      insert.setString(1, eventId);
      insert.executeUpdate();
    }
  }

  private void run(String sql) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  private List<String> texts(String sql) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement();
        ResultSet rows = statement.executeQuery(sql)) {
      List<String> texts = new java.util.ArrayList<>();
      while (rows.next()) {
        texts.add(rows.getString(1));
      }
      return texts;
    }
  }
}
