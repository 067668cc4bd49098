package dev.cortex.events.delivery;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterAll;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.TestInstance;
import org.junit.jupiter.api.TestInstance.Lifecycle;
import org.junit.jupiter.api.extension.ExtendWith;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/**
 * Interleaving 2: the plans of ordered claims, in a lane whose first rows are dead and kept by a
 * snapshot, and whose next 3,000 belong to a blocked key; before the first ANALYZE and after it,
 * once the generic plan is in use. 40,000 rows behind 20,000 dead ones, unless {@code
 * -Dcortex.test.backlog=1000000} asks for the full size.
 */
@ExtendWith(PostgresExtension.class)
@TestInstance(Lifecycle.PER_CLASS)
class LanePlansTest {
  private static final int EXECUTIONS = 7;
  private static final int BATCH = 100;
  private static final int BACKLOG = Integer.getInteger("cortex.test.backlog", 40_000);
  private static final int DEAD_ROWS = BACKLOG / 2;

  private final TestDatabase database;
  private final DeliveryStore deliveries = new DeliveryStore();
  private final LaneStore store = new LaneStore();
  private final Lanes lanes = new Lanes(1);
  private final Connection snapshot;
  private short handler;

  LanePlansTest(TestDatabase database) throws SQLException {
    this.database = database;
    this.snapshot = database.connection();
  }

  @BeforeAll
  void a_lane_with_dead_rows_and_a_blocked_key() throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement()) {
      statement.execute("alter table cortex.deliveries set (autovacuum_enabled = false)");
      statement.execute("insert into cortex.event_types (type) values ('test.lanes')");
      try (ResultSet row =
          statement.executeQuery(
              "select cortex.register_handler('lanes', 'transactional', 20::smallint, '30 s', array['test.lanes'])")) {
        row.next();
        handler = row.getShort(1);
      }
      statement.execute(
          "select cortex.order_handler(" + handler + "::smallint, 1::smallint, 'hold', '{}')");
      emit(statement, "'k' || n % 200", DEAD_ROWS);
      emit(statement, "'blocked'", 3_000);
      emit(statement, "'k' || n % 200", BACKLOG);
      statement.execute(
          "update cortex.deliveries set run_at = 'infinity'"
              + " where event = (select min(event) from cortex.deliveries where key = 'blocked')");
      snapshot.setAutoCommit(false);
      snapshot.setTransactionIsolation(Connection.TRANSACTION_REPEATABLE_READ);
      try (Statement look = snapshot.createStatement()) {
        look.execute("select count(*) from cortex.settings");
      }
      connection.setAutoCommit(false);
      for (int finished = 0; finished < DEAD_ROWS + 200; ) {
        finished += handle(connection);
      }
    }
  }

  private static void emit(Statement statement, String key, int events) throws SQLException {
    statement.execute(
        "insert into cortex.events (type, source, key) select 'test.lanes', 'test', "
            + key
            + " from generate_series(1, "
            + events
            + ") n");
  }

  private LaneProbe probe() {
    return lanes.probe(System.nanoTime(), Long.MAX_VALUE);
  }

  /** As a worker does. */
  private int handle(Connection connection) throws SQLException {
    LaneTurn turn = store.take(connection, handler, probe()).turn().orElseThrow();
    LaneClaim claim = store.claim(connection, handler, turn, 1_000);
    if (!claim.deliveries().isEmpty()) {
      deliveries.acknowledge(
          connection, 1, claim.deliveries(), new SessionStore().state(connection));
    }
    connection.commit();
    lanes.committed(turn, claim, Duration.ofNanos(1), System.nanoTime());
    return claim.deliveries().size();
  }

  @AfterAll
  void end() throws SQLException {
    snapshot.close();
  }

  @ParameterizedTest(name = "analysed: {0}")
  @ValueSource(booleans = {false, true})
  void interleaving_2_a_claim_in_a_lane_walks_over_neither_dead_nor_blocked_rows(boolean isAnalysed)
      throws SQLException {
    PlansTest.analyse(database, isAnalysed);

    List<String> plans = plansOf(this::claimAndRollBack);

    assertThat(plans).isNotEmpty().allSatisfy(LanePlansTest::assertNothingIsReadWhole);
    assertThat(plans).anySatisfy(plan -> assertThat(plan).contains("using deliveries_lane"));
    assertThat(plans).allSatisfy(plan -> assertThat(PlansTest.pagesRead(plan)).isLessThan(1_500));
  }

  @ParameterizedTest(name = "analysed: {0}")
  @ValueSource(booleans = {false, true})
  void interleaving_2_a_blocked_key_is_served_by_its_index(boolean isAnalysed) throws SQLException {
    PlansTest.analyse(database, isAnalysed);

    List<String> plans =
        plansOf(
            connection -> {
              execute(
                  connection,
                  "update cortex.deliveries set run_at = now() where key = 'blocked' and run_at = 'infinity'");
              execute(connection, "update cortex.blocked_keys set blocked_until = now()");
              LaneTurn turn = store.take(connection, handler, probe()).turn().orElseThrow();
              assertThat(store.claim(connection, handler, turn, BATCH).deliveries()).hasSize(BATCH);
              connection.rollback();
            });
    assertThat(plans).allSatisfy(LanePlansTest::assertNothingIsReadWhole);
    assertThat(plans).anySatisfy(plan -> assertThat(plan).contains("using deliveries_key"));
  }

  @ParameterizedTest(name = "analysed: {0}")
  @ValueSource(booleans = {false, true})
  void interleaving_2_what_a_sleeper_asks_of_its_lanes_is_answered_from_the_index(
      boolean isAnalysed) throws SQLException {
    PlansTest.analyse(database, isAnalysed);

    List<String> plans =
        plansOf(
            connection -> {
              assertThat(store.dueHandlers(connection, Map.of(handler, probe())))
                  .allMatch(DueHandler::isDue);
              connection.rollback();
            });
    assertThat(plans).isNotEmpty().allSatisfy(LanePlansTest::assertNothingIsReadWhole);
    assertThat(plans).allSatisfy(plan -> assertThat(PlansTest.pagesRead(plan)).isLessThan(500));
  }

  private void claimAndRollBack(Connection connection) throws SQLException {
    LaneTurn turn = store.take(connection, handler, probe()).turn().orElseThrow();
    assertThat(store.claim(connection, handler, turn, BATCH).deliveries()).hasSize(BATCH);
    connection.rollback();
  }

  private static void execute(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  static void assertNothingIsReadWhole(String plan) {
    if (plan.contains("update cortex.") && plan.contains("now()")) {
      return; // the test's own
    }
    assertThat(plan)
        .doesNotContain("Seq Scan on deliveries")
        .doesNotContain("Seq Scan on events")
        .doesNotContain("Bitmap")
        .doesNotContain("Hash Join")
        .doesNotContain("Merge Join")
        .doesNotContain("JIT");
  }

  /** The plans that read deliveries, in the last of several executions. */
  private List<String> plansOf(PlanRecorder.Work work) throws SQLException {
    try (Connection connection = database.superuserAddress().dataSource().getConnection()) {
      PlanRecorder recorder = PlanRecorder.on(connection);
      connection.setAutoCommit(false);
      for (int i = 1; i < EXECUTIONS; i++) {
        work.on(recorder.connection());
      }
      recorder.clear();
      work.on(recorder.connection());
      return recorder.plans().stream().filter(plan -> plan.contains("cortex.deliveries")).toList();
    }
  }
}
