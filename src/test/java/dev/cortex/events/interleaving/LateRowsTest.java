package dev.cortex.events.interleaving;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.delivery.ClaimWindow;
import dev.cortex.events.delivery.Delivery;
import dev.cortex.events.delivery.LowWaterMarks;
import dev.cortex.events.delivery.SessionStore;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.telemetry.EngineEvent;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Queue;
import java.util.concurrent.ConcurrentLinkedQueue;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Rows that come to light below a worker's mark. */
@ExtendWith(PostgresExtension.class)
class LateRowsTest {
  private static final String TYPE = "test.late_rows";
  private static final int BATCH = 100;

  private final TestEngine engine;

  LateRowsTest(TestDatabase database) {
    this.engine = new TestEngine(database);
  }

  @BeforeEach
  void clear() throws SQLException {
    engine.clear();
  }

  /** One batch per sweep would take hours for a million rows. */
  @Test
  void interleaving_16_many_rows_that_commit_late_are_all_taken_after_one_full_sweep()
      throws Exception {
    short handler = engine.subscribe("late", TYPE);
    LowWaterMarks marks = new LowWaterMarks();
    long now = System.nanoTime();
    try (Connection late = engine.begin();
        Connection worker = engine.begin()) {
      engine.emit(late, TYPE, 500);
      engine.emit(TYPE, 1);
      assertThat(claim(worker, handler, marks, now)).hasSize(1);
      late.commit();
      assertThat(claim(worker, handler, marks, now)).as("ahead of the mark").isEmpty();

      long oneFullSweepLater = now + Duration.ofSeconds(5).toNanos();
      List<Integer> sizes = new ArrayList<>();
      for (int claims = 0; claims < 8; claims++) {
        sizes.add(claim(worker, handler, marks, oneFullSweepLater).size());
      }
      assertThat(sizes.stream().mapToInt(size -> size).sum()).isEqualTo(500);
      // A mini-sweep in between may look at other priorities.
      assertThat(sizes.stream().filter(size -> size > 0)).startsWith(BATCH, BATCH, BATCH);
    }
  }

  /** As a worker does; nobody gets a second full sweep within five seconds. */
  private List<Delivery> claim(Connection worker, short handler, LowWaterMarks marks, long now)
      throws SQLException {
    ClaimWindow window = marks.next(now);
    List<Delivery> claimed = engine.store().claim(worker, handler, window, BATCH).deliveries();
    if (!claimed.isEmpty()) {
      assertThat(engine.store().acknowledge(worker, 1, claimed, new SessionStore().state(worker)))
          .isEqualTo(claimed.size());
    }
    worker.commit();
    marks.claimed(window, claimed, claimed.size() == BATCH, Duration.ofNanos(1), now);
    return claimed;
  }

  /** A process dies with fifty rows in its hands, while a survivor's mark is far above them. */
  @Test
  void interleaving_28_what_a_dead_process_held_is_free_at_once_and_survivors_take_it()
      throws Exception {
    short handler = engine.subscribe("survivor", TYPE);
    Queue<EngineEvent> told = new ConcurrentLinkedQueue<>();
    engine.emit(TYPE, 50);
    try (CortexEvents cortex = engine.connect(told::add);
        Connection doomed = engine.begin();
        Connection life = engine.session()) {
      int dead = TestEngine.enter(life);
      assertThat(engine.claim(doomed, handler, 100)).hasSize(50);
      TestEngine.run(doomed, "insert into effects values ('dead', 'never', 1, 0)");
      engine.run(
          "insert into cortex.slots values (?, 1, ?, array[1, 2, 3], clock_timestamp())",
          dead,
          handler);

      cortex.work(
          List.of(
              HandlerDefinition.oneByOne(
                      "survivor", (event, context) -> TestEngine.effect("survivor", event, context))
                  .on(TYPE)));
      engine.emit(TYPE, 200);
      engine.awaitNumber(200, "select count(*) from cortex.attempts");
      engine.kill(doomed, life);

      engine.awaitNumber(250, "select count(*) from cortex.attempts");
      engine.awaitNumber(
          1, "select count(*) from cortex.workers where worker_id = ? and vanished", dead);
      engine.awaitNumber(0, "select count(*) from cortex.slots where worker_id = ?", dead);
      assertThat(told).contains(new EngineEvent.WorkerVanished(dead));
    }
    assertThat(engine.rows("select distinct outcome || ' ' || attempt from cortex.attempts"))
        .containsExactly("done 1");
    assertThat(
            engine.rows(
                "select handler || ' ' || count(distinct event_id) from effects group by handler"))
        .containsExactly("survivor 250");
  }

  /** Its session was cut and it was buried; before it has come back, its process dies as well. */
  @Test
  void what_a_buried_worker_shows_is_suspected_when_it_dies() throws Exception {
    short handler = engine.subscribe("survivor", TYPE);
    try (CortexEvents cortex = engine.connect(event -> {});
        Connection life = engine.session()) {
      int buried = TestEngine.enter(life);
      engine.run(
          "update cortex.workers set stopped_at = clock_timestamp(), vanished = true where worker_id = ?",
          buried);
      engine.run(
          "insert into cortex.slots values (?, 1, ?, array[7], clock_timestamp())",
          buried,
          handler);
      cortex.work(
          List.of(
              HandlerDefinition.oneByOne("survivor", (event, context) -> Outcome.done()).on(TYPE)));
      int other;
      try (Connection brief = engine.session()) {
        other = TestEngine.enter(brief);
        engine.kill(brief);
      }
      engine.awaitNumber(
          1, "select count(*) from cortex.workers where worker_id = ? and vanished", other);
      assertThat(engine.rows("select worker_id::text from cortex.slots"))
          .as("of a process that lives")
          .containsExactly(Integer.toString(buried));

      engine.kill(life);

      engine.awaitNumber(0, "select count(*) from cortex.slots");
      assertThat(engine.rows("select event || ' ' || deaths from cortex.suspects"))
          .containsExactly("7 1");
    }
  }
}
