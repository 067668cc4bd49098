package dev.cortex.events.worker;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.delivery.DeliveryStore;
import dev.cortex.events.delivery.EmitterHorizon;
import dev.cortex.events.delivery.LaneClaim;
import dev.cortex.events.delivery.LaneStore;
import dev.cortex.events.delivery.LaneTurn;
import dev.cortex.events.delivery.Lanes;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.outbox.Outbox;
import dev.cortex.events.telemetry.Telemetry;
import dev.cortex.events.worker.Dispatcher.Found;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import javax.sql.DataSource;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** What a turn in the lanes of a handler leaves remembered of them. */
@ExtendWith(PostgresExtension.class)
class LaneRunnerTest {
  private final DataSource pool;
  private final LaneStore store = new LaneStore();

  LaneRunnerTest(TestDatabase database) {
    this.pool = database.dataSource();
  }

  /** Else those without a place put each sweep off for as long as the handler has work. */
  @Test
  void interleaving_2_who_finds_no_place_leaves_the_sweep_of_the_lane_due() throws Exception {
    short handler = handlerWithOneLaneAndOnePlace();
    HandlerQueue queue =
        HandlerQueue.ordered(
            HandlerDefinition.oneByOne("placed", (event, context) -> Outcome.done()), handler, 1);
    Lanes lanes = queue.lanes().orElseThrow();
    makeSweepDue(lanes);
    List<Found> found = new ArrayList<>();
    try (Connection holder = pool.getConnection()) {
      holder.setAutoCommit(false);
      execute(holder, "select from cortex.handler_places for no key update");
      runner().run(queue, lanes, new Slot((short) 1), found::add);
      holder.rollback();
    }
    assertThat(found).containsExactly(Found.NO_PLACE);
    try (Connection next = pool.getConnection()) {
      next.setAutoCommit(false);
      assertThat(store.take(next, handler, lanes.probe(System.nanoTime(), 0)).turn())
          .map(LaneTurn::isSweep)
          .contains(true);
      next.rollback();
    }
  }

  private short handlerWithOneLaneAndOnePlace() throws SQLException {
    try (Connection connection = pool.getConnection()) {
      execute(connection, "insert into cortex.event_types (type) values ('test.placed')");
      short handler;
      try (Statement statement = connection.createStatement();
          ResultSet row =
              statement.executeQuery(
                  "select cortex.register_handler('placed', 'transactional', 20::smallint, '30 s', array['test.placed'])")) {
        row.next();
        handler = row.getShort(1);
      }
      execute(
          connection,
          "select cortex.order_handler(" + handler + "::smallint, 1::smallint, 'hold', '{}')");
      execute(connection, "select cortex.limit_handler('placed', 1::smallint, 'r')");
      execute(
          connection,
          "insert into cortex.events (type, source, key) values ('test.placed', 'test', 'k')");
      return handler;
    }
  }

  /** The lane was swept longer ago than sweeps are apart. */
  private static void makeSweepDue(Lanes lanes) {
    lanes.committed(
        new LaneTurn((short) 1, 0, true, false, 0, 0, "-infinity"),
        new LaneClaim(List.of(), 0, "-infinity"),
        Duration.ZERO,
        System.nanoTime() - Duration.ofMinutes(1).toNanos());
  }

  private LaneRunner runner() {
    Sessions sessions = new Sessions(pool, Telemetry.silent());
    BatchRunner batches =
        new BatchRunner(
            sessions,
            new DeliveryStore(),
            new HandlerCall(new Outbox()),
            new Caution(pool, new WorkerStore(), 1, false),
            Telemetry.silent(),
            1);
    return new LaneRunner(sessions, store, new EmitterHorizon(store), batches);
  }

  private static void execute(Connection connection, String sql) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }
}
