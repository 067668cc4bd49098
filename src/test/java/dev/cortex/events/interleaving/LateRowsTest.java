package dev.cortex.events.interleaving;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.delivery.Delivery;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;
import org.postgresql.PGConnection;

/** Rows that become visible, or free, below the marks. */
@ExtendWith(PostgresExtension.class)
class LateRowsTest {
  private static final String TYPE = "test.late";

  private final TestEngine engine;
  private short handlerId;

  LateRowsTest(TestDatabase database) {
    this.engine = new TestEngine(database);
  }

  @BeforeEach
  void clear() throws SQLException {
    engine.clear();
    handlerId = engine.subscribe("late", TYPE);
  }

  /** Twenty thousand rows, twenty batches: they come at once, not one batch per sweep. */
  @Test
  void interleaving_16_many_rows_that_commit_late_are_all_handled() throws Exception {
    try (CortexEvents cortex = engine.connect();
        Connection late = engine.begin()) {
      engine.emit(late, TYPE, 20_000);
      cortex.work(List.of(handler()));
      for (int round = 1; round <= 5; round++) {
        engine.emit(TYPE, 200);
        engine.awaitNumber(200L * round, "select count(*) from cortex.attempts");
      }
      late.commit();
      engine.awaitNumber(21_000, "select count(*) from cortex.attempts where outcome = 'done'");
    }
    assertThat(engine.number("select count(*) from cortex.deliveries")).isZero();
  }

  /** What a dead backend held is free at once, below the survivors' marks. */
  @Test
  void interleaving_28_what_a_dead_session_held_is_handled_by_a_survivor() throws Exception {
    engine.emit(TYPE, 100);
    try (Connection dying = engine.begin();
        CortexEvents survivor = engine.connect()) {
      List<Delivery> held = engine.claim(dying, handlerId, 100);
      assertThat(held).hasSize(100);
      survivor.work(List.of(handler()));
      engine.emit(TYPE, 500);
      engine.awaitNumber(500, "select count(*) from cortex.attempts");
      int pid = dying.unwrap(PGConnection.class).getBackendPID();
      engine.runAsSuperuser("select pg_terminate_backend(" + pid + ")");
      engine.awaitNumber(
          600, "select count(*) from cortex.attempts where outcome = 'done' and attempt = 1");
    }
  }

  private static HandlerDefinition handler() {
    return HandlerDefinition.batch("late", (events, context) -> {}).on(TYPE);
  }

  /** Nobody else holds them, and still there is nothing for a worker that came later to double. */
  @Test
  void interleaving_28_a_held_row_is_passed_over_and_never_waited_for() throws Exception {
    engine.emit(TYPE, 10);
    try (Connection holder = engine.begin();
        CortexEvents cortex = engine.connect()) {
      assertThat(engine.claim(holder, handlerId, 4)).hasSize(4);
      cortex.work(
          List.of(HandlerDefinition.oneByOne("late", (event, context) -> Outcome.done()).on(TYPE)));
      engine.awaitNumber(6, "select count(*) from cortex.attempts");
      assertThat(engine.number("select count(*) from cortex.deliveries")).isEqualTo(4);
      holder.rollback();
      engine.awaitNumber(10, "select count(*) from cortex.attempts");
    }
  }
}
