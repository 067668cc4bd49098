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
import java.util.Optional;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Interleaving 2: what looks at a lane read where 20,000 events wait behind a dead letter. */
@ExtendWith(PostgresExtension.class)
class BlockedLanePlansTest {
  private static final int EVENTS = 20_000;
  private static final int EXECUTIONS = 7;
  private static final int BATCH = 100;

  private final TestDatabase database;
  private final LaneStore store = new LaneStore();

  BlockedLanePlansTest(TestDatabase database) {
    this.database = database;
  }

  /**
   * Nothing to run but what waits behind a dead letter, and an emitter that stays open, so that no
   * mark can pass it: neither a look nor a take reads more than a few deliveries of it, before the
   * claims have parked them and afterwards.
   */
  @Test
  void interleaving_2_a_look_is_bounded_whatever_waits_behind_a_blocked_key() throws SQLException {
    short stuck = handlerWithDeadLetter();
    Lanes remembered = new Lanes(1);
    try (Connection connection = database.connection()) {
      connection.setAutoCommit(false);
      block(connection, stuck, remembered);
      assertThat(plansOfALook(stuck, remembered))
          .hasSizeGreaterThan(1)
          .allSatisfy(BlockedLanePlansTest::assertBounded);

      int claims = 0;
      while (takeAndClaim(connection, stuck, remembered)) {
        claims++;
      }
      assertThat(claims).isBetween(1, 20);
      assertThat(plansOfALook(stuck, remembered))
          .hasSizeGreaterThan(1)
          .allSatisfy(BlockedLanePlansTest::assertBounded);
      assertThat(plansOfALook(stuck, new Lanes(1)))
          .hasSizeGreaterThan(1)
          .allSatisfy(BlockedLanePlansTest::assertBounded);
    }
  }

  private short handlerWithDeadLetter() throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement()) {
      statement.execute("insert into cortex.event_types (type) values ('test.stuck')");
      short id;
      try (ResultSet row =
          statement.executeQuery(
              "select cortex.register_handler('stuck', 'transactional', 20::smallint, '30 s', array['test.stuck'])")) {
        row.next();
        id = row.getShort(1);
      }
      statement.execute(
          "select cortex.order_handler(" + id + "::smallint, 1::smallint, 'hold', '{}')");
      statement.execute(
          "insert into cortex.events (type, source, key)"
              + " select 'test.stuck', 'test', 'stuck' from generate_series(1, "
              + EVENTS
              + ")");
      statement.execute(
          "update cortex.deliveries set run_at = 'infinity'"
              + " where event = (select min(event) from cortex.deliveries)");
      return id;
    }
  }

  /** The first claim finds the dead letter, which blocks its key. */
  private void block(Connection connection, short stuck, Lanes remembered) throws SQLException {
    LaneTurn turn = store.take(connection, stuck, held(remembered)).turn().orElseThrow();
    assertThat(store.claim(connection, stuck, turn, 1).deliveries()).isEmpty();
    connection.commit();
    remembered.committed(
        turn, new LaneClaim(List.of(), 0, turn.since()), Duration.ofNanos(1), System.nanoTime());
  }

  private boolean takeAndClaim(Connection connection, short stuck, Lanes remembered)
      throws SQLException {
    Optional<LaneTurn> turn = store.take(connection, stuck, held(remembered)).turn();
    if (turn.isPresent()) {
      LaneClaim claim = store.claim(connection, stuck, turn.get(), BATCH);
      assertThat(claim.deliveries()).isEmpty();
      store.parkPassed(connection, stuck, turn.get(), claim);
      remembered.committed(turn.get(), claim, Duration.ofNanos(1), System.nanoTime());
    }
    connection.commit();
    return turn.isPresent();
  }

  private static LaneProbe held(Lanes remembered) {
    return remembered.probe(System.nanoTime(), 0);
  }

  private List<String> plansOfALook(short stuck, Lanes remembered) throws SQLException {
    return plansOf(
        connection -> {
          store.dueHandlers(connection, Map.of(stuck, held(remembered)));
          store.take(connection, stuck, held(remembered));
          connection.rollback();
        });
  }

  private static void assertBounded(String plan) {
    LanePlansTest.assertNothingIsReadWhole(plan);
    assertThat(PlansTest.pagesRead(plan)).isLessThan(500);
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
