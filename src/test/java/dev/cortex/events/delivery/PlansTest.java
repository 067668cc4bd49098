package dev.cortex.events.delivery;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.TestInstance.Lifecycle;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * The plans that the hot statements have when they run, inside the functions too: over a backlog
 * behind half as many dead rows that a snapshot keeps, before the first ANALYZE and after it, once
 * the generic plan is in use. 100,000 rows and 50,000 dead ones, unless {@code
 * -Dcortex.test.backlog=1000000} asks for the full size, which takes minutes.
 */
@ExtendWith(PostgresExtension.class)
@TestInstance(Lifecycle.PER_CLASS)
class PlansTest {
  private static final int WORKER = 1;
  private static final int BATCH = 100;
  private static final int BACKLOG = Integer.getInteger("cortex.test.backlog", 100_000);
  private static final int DEAD_ROWS = BACKLOG / 2;

  /** The server plans a statement anew for its first five executions. */
  private static final int EXECUTIONS = 7;

  private final TestDatabase database;
  private final DeliveryStore store = new DeliveryStore();
  private final Connection snapshot;
  private short handler;

  /** From the mark on, which is above the dead rows. */
  private ClaimWindow ahead = ClaimWindow.everything();

  PlansTest(TestDatabase database) throws SQLException {
    this.database = database;
    this.snapshot = database.connection();
  }

  @BeforeAll
  void a_backlog_behind_dead_rows() throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement()) {
      statement.execute("alter table cortex.deliveries set (autovacuum_enabled = false)");
      statement.execute("insert into cortex.event_types (type) values ('test.plans')");
      try (ResultSet row =
          statement.executeQuery(
              "select cortex.register_handler('plans', 'transactional', 20::smallint, '30 s',"
                  + " array['test.plans'])")) {
        row.next();
        handler = row.getShort(1);
      }
      emit(connection, BACKLOG + DEAD_ROWS);
      snapshot.setAutoCommit(false);
      snapshot.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
      try (Statement look = snapshot.createStatement()) {
        look.execute("select count(*) from cortex.settings");
      }
      finishFirstThird(connection);
    }
  }

  private static void emit(Connection connection, int events) throws SQLException {
    try (PreparedStatement statement =
        connection.prepareStatement(
            """
            insert into cortex.events (type, source, priority)
            select 'test.plans', 'test', (enum_range(null::cortex.priority))[1 + n % 2 * 2]
              from generate_series(1, ?) n
            """)) {
      statement.setInt(1, events);
      statement.executeUpdate();
    }
  }

  /** As a worker does. */
  private void finishFirstThird(Connection connection) throws SQLException {
    LowWaterMarks marks = new LowWaterMarks();
    connection.setAutoCommit(false);
    long now = System.nanoTime();
    for (int finished = 0; finished < DEAD_ROWS; ) {
      ahead = ahead(marks, now);
      List<Delivery> claimed = store.claim(connection, handler, ahead, 1_000).deliveries();
      finished +=
          store.acknowledge(connection, WORKER, claimed, new SessionStore().state(connection));
      connection.commit();
      marks.claimed(ahead, claimed, true, Duration.ofNanos(1), now);
    }
    ahead = ahead(marks, now);
    connection.setAutoCommit(true);
  }

  /** Without the sweeps, which find nothing here. */
  private static ClaimWindow ahead(LowWaterMarks marks, long now) {
    ClaimWindow window = marks.next(now);
    while (window.kind() != ClaimWindow.Kind.AHEAD) {
      window = marks.next(now);
    }
    return window;
  }

  @AfterAll
  void end() throws SQLException {
    snapshot.close();
  }

  @ParameterizedTest(name = "analysed: {0}")
  @ValueSource(booleans = {false, true})
  void the_claim_is_one_bounded_index_scan_a_priority(boolean isAnalysed) throws SQLException {
    analyse(isAnalysed);

    List<String> plans = plansOf(PlansTest.this::claimAndRollBack, "cortex.deliveries d");
    assertThat(plans).hasSize(1).allSatisfy(PlansTest::assertNothingIsReadWhole);
    assertThat(plans.get(0))
        .contains("Index Scan using deliveries_due on deliveries d")
        .containsPattern(
            "Index Cond: .*handler_id = \\$?\\w+.*lane = .*priority = .*ROW\\(run_at, event\\) >="
                + " ROW\\(.*ROW\\(run_at, event\\) < ROW\\(.*run_at <= ")
        .contains("actual rows=100");
    assertThat(plans.get(0)).as("by a plan for any parameters").contains("$");
  }

  /**
   * By one scan for all their numbers, not delivery by delivery; the types are not looked up at
   * all.
   */
  @ParameterizedTest(name = "analysed: {0}")
  @ValueSource(booleans = {false, true})
  void the_events_of_a_claim_are_fetched_in_one_pass_over_one_partition(boolean isAnalysed)
      throws SQLException {
    analyse(isAnalysed);

    List<String> plans = plansOf(PlansTest.this::claimAndRollBack, "left join cortex.events e");
    assertThat(plans).hasSize(1).allSatisfy(PlansTest::assertNothingIsReadWhole);
    String plan = plans.get(0);
    assertThat(plan)
        .contains("Hash Left Join", "Subplans Removed: ", "Index Scan using event_types_aliases")
        .containsPattern("Index Cond: \\(\\(id = ANY \\(.*received_at >= .*received_at <= ")
        .doesNotContain("Nested Loop", "loops=" + BATCH, "event_types_pkey");
    assertThat(scansThatRan(plan, "events_"))
        .hasSize(1)
        .allSatisfy(scan -> assertThat(scan).contains("loops=1"));
  }

  @ParameterizedTest(name = "analysed: {0}")
  @ValueSource(booleans = {false, true})
  void the_acknowledgement_is_a_tid_scan(boolean isAnalysed) throws SQLException {
    analyse(isAnalysed);

    List<String> plans =
        plansOf(
            connection -> {
              List<Delivery> claimed = claim(connection);
              assertThat(
                      store.acknowledge(
                          connection, WORKER, claimed, new SessionStore().state(connection)))
                  .isEqualTo(BATCH);
              connection.rollback();
            },
            "with acknowledged as");
    assertThat(plans).hasSize(1);
    assertThat(plans.get(0))
        .contains("Delete on deliveries", "Tid Scan on deliveries", "TID Cond: (ctid = ANY (")
        .doesNotContain("Seq Scan on deliveries", "Index Scan");
  }

  @Test
  void a_delivery_is_locked_again_through_the_index() throws SQLException {
    List<String> plans =
        plansOf(
            connection -> {
              List<Delivery> claimed = claim(connection);
              connection.rollback();
              assertThat(store.reclaim(connection, claimed.get(0))).isPresent();
              connection.rollback();
            },
            "d.generation = ");
    assertThat(plans).hasSize(1).allSatisfy(PlansTest::assertNothingIsReadWhole);
    assertThat(plans.get(0))
        .containsPattern("Index Cond: .*handler_id.*lane.*priority.*run_at.*event");
  }

  @ParameterizedTest(name = "analysed: {0}")
  @ValueSource(booleans = {false, true})
  void what_a_sleeper_asks_is_answered_from_the_index(boolean isAnalysed) throws SQLException {
    analyse(isAnalysed);

    List<String> plans =
        plansOf(
            connection -> {
              assertThat(store.dueHandlers(connection, Map.of(handler, ClaimWindow.everything())))
                  .allMatch(DueHandler::isDue);
              connection.rollback();
            },
            "checked_at");
    assertThat(plans).isNotEmpty().allSatisfy(PlansTest::assertNothingIsReadWhole);
    assertThat(plans)
        .anySatisfy(plan -> assertThat(plan).contains("using deliveries_due on deliveries d"));
  }

  /** All dead rows lie below the mark. */
  @ParameterizedTest(name = "analysed: {0}")
  @ValueSource(booleans = {false, true})
  void a_look_from_the_marks_on_walks_over_no_dead_rows(boolean isAnalysed) throws SQLException {
    analyse(isAnalysed);

    List<String> plans =
        plansOf(
            connection -> {
              assertThat(store.dueHandlers(connection, Map.of(handler, ahead)))
                  .allMatch(DueHandler::isDue);
              connection.rollback();
            },
            "checked_at");
    assertThat(plans)
        .isNotEmpty()
        .allSatisfy(PlansTest::assertNothingIsReadWhole)
        .allSatisfy(plan -> assertThat(pagesRead(plan)).isLessThan(30));
  }

  /** By an index of nothing but leases, however long the queue is. */
  @ParameterizedTest(name = "analysed: {0}")
  @ValueSource(booleans = {false, true})
  void whoever_holds_a_lease_finds_it_by_the_index_of_leases(boolean isAnalysed)
      throws SQLException {
    analyse(isAnalysed);
    LeaseStore leases = new LeaseStore();
    Lease.Holder holder = new Lease.Holder(WORKER, Duration.ofHours(1));
    try (Connection connection = database.connection()) {
      Lease lease = leases.lease(connection, handler, ahead, holder).orElseThrow();
      List<String> plans =
          plansOf(
              recorded -> {
                leases.renew(recorded, WORKER, List.of(lease));
                assertThat(leases.acknowledge(recorded, lease, Optional.empty())).isTrue();
                recorded.rollback();
                leases.settle(
                    recorded, lease, Settlement.retry("handler_failed", "", Duration.ofHours(1)));
                recorded.rollback();
              },
              "leased_by = ");
      assertThat(plans)
          .hasSize(3)
          .allSatisfy(plan -> assertThat(plan).contains("deliveries_leased"))
          .noneSatisfy(plan -> assertThat(plan).contains("using deliveries_due"))
          .noneSatisfy(plan -> assertThat(plan).contains("Seq Scan on deliveries"));
      leases.giveBack(connection, lease);
    }
  }

  /** However long the queue is, and however many leases there are. */
  @ParameterizedTest(name = "analysed: {0}")
  @ValueSource(booleans = {false, true})
  void the_leases_that_end_first_are_found_by_the_index_of_their_ends(boolean isAnalysed)
      throws SQLException {
    analyse(isAnalysed);
    LeaseStore leases = new LeaseStore();
    Lease.Holder holder = new Lease.Holder(WORKER, Duration.ofHours(1));
    try (Connection connection = database.connection()) {
      Lease lease = leases.lease(connection, handler, ahead, holder).orElseThrow();
      List<String> plans =
          plansOf(
              recorded -> {
                assertThat(leases.ends(recorded, List.of(handler), 10)).hasSize(1);
                recorded.rollback();
              },
              "from unnest(p_handlers)");
      assertThat(plans).hasSize(1).allSatisfy(PlansTest::assertNothingIsReadWhole);
      assertThat(plans.get(0)).contains("Index Scan using deliveries_lease_end on deliveries d");
      leases.giveBack(connection, lease);
    }
  }

  /** It has no index of events: only a look at 10,000 more events of the log reads it. */
  @Test
  void a_step_of_a_backfill_does_not_read_the_queue() throws SQLException {
    try (Connection connection = database.superuserAddress().dataSource().getConnection();
        Statement statement = connection.createStatement()) {
      statement.execute("insert into cortex.event_types (type) values ('test.recorded')");
      statement.execute(
          "insert into cortex.events (type, source) select 'test.recorded', 'test' from generate_series(1, 500)");
      statement.execute(
          "select cortex.register_handler('late', 'transactional', 20::smallint, '30 s', array['test.recorded'])");
      statement.execute("select cortex.backfill('late', 'a test', rate => 10000)");
      int first = 0;
      while (first == 0) {
        first = stepBackfill(connection);
      }
      assertThat(first).isEqualTo(20);

      List<String> plans =
          plansOf(
              recorded -> {
                assertThat(stepBackfill(recorded)).isEqualTo(20);
                recorded.rollback();
              },
              "cortex.deliveries");

      assertThat(plans)
          .hasSize(1)
          .allSatisfy(plan -> assertThat(plan).contains("Insert on deliveries"));
      int made = first;
      while (made < 500) {
        made += stepBackfill(connection);
      }
      assertThat(
              number(
                  connection,
                  "select count(distinct event) from cortex.deliveries d join cortex.handlers h using (handler_id) where h.name = 'late'"))
          .isEqualTo(500);
    }
  }

  /** One that makes twenty deliveries at most, as if its rate had not been used up. */
  private static int stepBackfill(Connection connection) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute("update cortex.backfills set paced_to = '-infinity'");
    }
    return (int)
        number(
            connection,
            "select coalesce(sum(made), 0) from cortex.step_backfills(20, only_handler => 'late')");
  }

  private static long number(Connection connection, String sql) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(sql);
        ResultSet row = statement.executeQuery()) {
      row.next();
      return row.getLong(1);
    }
  }

  /** One look at what is new and one INSERT, whatever it holds that is in order. */
  @Test
  void an_ordinary_event_costs_its_emitter_two_statements() throws SQLException {
    List<String> plans = plansOf(connection -> emitWithPayload(connection, 1), "new_events");

    assertThat(plans).hasSize(2);
    assertThat(plans.get(0)).contains("select bool_or(t.type is null");
    assertThat(plans.get(1)).contains("insert into cortex.deliveries");
  }

  /** Not type by type, which is what a plan that may stop early does. */
  @Test
  void the_types_of_a_thousand_events_are_looked_up_together() throws SQLException {
    List<String> plans = plansOf(connection -> emitWithPayload(connection, 1_000), "new_events");

    assertThat(plans).hasSize(2);
    assertThat(plans.get(0))
        .containsPattern("Hash (Right |Left )?Join")
        .doesNotContain("loops=1000");
  }

  /** Payloads of 600 bytes, and nothing else that is optional. */
  private static void emitWithPayload(Connection connection, int events) throws SQLException {
    try (PreparedStatement statement =
        connection.prepareStatement(
            """
            insert into cortex.events (type, source, payload)
            select 'test.plans', 'test', jsonb_build_object('text', repeat('x', 600))
              from generate_series(1, ?)
            """)) {
      statement.setInt(1, events);
      statement.executeUpdate();
    }
    connection.rollback();
  }

  /** The mark is what keeps claims off the dead rows: a claim reads a few hundred pages at most. */
  @Test
  void a_claim_from_the_mark_walks_over_no_dead_rows() throws SQLException {
    List<String> plans = plansOf(PlansTest.this::claimAndRollBack, "cortex.deliveries d");

    assertThat(plans).allSatisfy(plan -> assertThat(pagesRead(plan)).isLessThan(1_000));
  }

  static long pagesRead(String plan) {
    return plan.lines()
        .filter(line -> line.contains("Buffers: shared"))
        .limit(1)
        .flatMap(line -> Stream.of(line.trim().split("[ =]")))
        .filter(word -> word.matches("[0-9]+"))
        .mapToLong(Long::parseLong)
        .sum();
  }

  private static void assertNothingIsReadWhole(String plan) {
    assertThat(plan)
        .doesNotContain("Seq Scan on deliveries")
        .doesNotContain("Seq Scan on events")
        .doesNotContain("Bitmap")
        .doesNotContain("Sort Key")
        .doesNotContain("Hash Join")
        .doesNotContain("Merge Join")
        .doesNotContain("JIT");
  }

  private static List<String> scansThatRan(String plan, String table) {
    return plan.lines()
        .filter(line -> line.contains(" Scan using " + table) && !line.contains("never executed"))
        .toList();
  }

  private void analyse(boolean isAnalysed) throws SQLException {
    analyse(database, isAnalysed);
  }

  /** What the planner knows of the queue and the log from now on. */
  static void analyse(TestDatabase database, boolean isAnalysed) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement()) {
      if (isAnalysed) {
        statement.execute("analyze cortex.deliveries");
        statement.execute("analyze cortex.events");
      } else {
        forgetStatistics(database);
      }
    }
  }

  /** As in a database where ANALYZE has seen the tables empty, or not at all. */
  private static void forgetStatistics(TestDatabase database) throws SQLException {
    try (Connection connection = database.superuserAddress().dataSource().getConnection();
        Statement statement = connection.createStatement()) {
      statement.execute(
          """
          delete from pg_statistic
           where starelid = 'cortex.deliveries'::regclass
              or starelid in (select relid from pg_partition_tree('cortex.events'));
          update pg_class set reltuples = 0, relpages = 0 where relname in ('deliveries', 'deliveries_due')\
          """);
    }
  }

  private List<Delivery> claim(Connection connection) throws SQLException {
    List<Delivery> claimed = store.claim(connection, handler, ahead, BATCH).deliveries();
    assertThat(claimed).hasSize(BATCH);
    return claimed;
  }

  private void claimAndRollBack(Connection connection) throws SQLException {
    claim(connection);
    connection.rollback();
  }

  /** The plans of the statements with this text, in the last of several executions. */
  private List<String> plansOf(PlanRecorder.Work work, String text) throws SQLException {
    try (Connection connection = database.superuserAddress().dataSource().getConnection()) {
      PlanRecorder recorder = PlanRecorder.on(connection);
      connection.setAutoCommit(false);
      for (int i = 1; i < EXECUTIONS; i++) {
        work.on(recorder.connection());
      }
      recorder.clear();
      work.on(recorder.connection());
      return recorder.plans().stream().filter(plan -> plan.contains(text)).toList();
    }
  }
}
