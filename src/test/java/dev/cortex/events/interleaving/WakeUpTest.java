package dev.cortex.events.interleaving;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.delivery.ClaimWindow;
import dev.cortex.events.delivery.DueHandler;
import dev.cortex.events.delivery.LowWaterMarks;
import dev.cortex.events.delivery.SessionStore;
import dev.cortex.events.delivery.WakeUp;
import dev.cortex.events.delivery.WakeUp.Rest;
import dev.cortex.events.delivery.WakeUp.Signal;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.worker.Worker;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** Sleeping and waking, with sleepers by hand: one session each, as a worker process has. */
@ExtendWith(PostgresExtension.class)
class WakeUpTest {
  private static final String TYPE = "test.wake_up";
  private static final String DONE = "select count(*) from cortex.attempts where outcome = 'done'";
  private static final Duration AT_ONCE = Duration.ofMillis(1);

  private final TestEngine engine;

  WakeUpTest(TestDatabase database) {
    this.engine = new TestEngine(database);
  }

  @BeforeEach
  void clear() throws SQLException {
    engine.clear();
  }

  /** K is refused while the late one is open, and granted after its commit, which is below it. */
  @Test
  void interleaving_13_the_look_under_k_finds_a_late_committer_below_the_mark() throws Exception {
    short handler = engine.subscribe("late", TYPE);
    LowWaterMarks marks = new LowWaterMarks();
    try (Connection late = engine.begin();
        Connection worker = engine.begin();
        Connection session = engine.session()) {
      WakeUp wakeUp = WakeUp.listen(session);
      String first = engine.emit(late, EventDraft.of(TYPE, "test"));
      engine.emit(EventDraft.of(TYPE, "test"));
      handleAll(worker, handler, marks);
      assertThat(wakeUp.tryToRest()).isEqualTo(Rest.POLLING);
      late.commit();

      assertThat(wakeUp.tryToRest()).isEqualTo(Rest.HOLDING);
      ClaimWindow ahead = marks.next(System.nanoTime());
      assertThat(engine.store().claim(worker, handler, ahead, 10).deliveries())
          .as("from the mark")
          .isEmpty();
      worker.rollback();
      assertThat(engine.store().dueHandlers(session, Map.of(handler, ClaimWindow.everything())))
          .singleElement()
          .matches(DueHandler::isDue);
      assertThat(engine.claim(worker, handler, 10))
          .as("from the beginning")
          .singleElement()
          .matches(delivery -> delivery.event().orElseThrow().id().equals(first));
      worker.rollback();
    }
  }

  private void handleAll(Connection worker, short handler, LowWaterMarks marks)
      throws SQLException {
    ClaimWindow window = marks.next(System.nanoTime());
    var claimed = engine.store().claim(worker, handler, window, 10).deliveries();
    assertThat(engine.store().acknowledge(worker, 1, claimed, new SessionStore().state(worker)))
        .isEqualTo(claimed.size());
    worker.commit();
    marks.claimed(window, claimed, false, Duration.ZERO, System.nanoTime());
  }

  @Test
  void interleaving_13_a_worker_at_rest_handles_what_commits_below_its_mark() throws Exception {
    engine.subscribe("resting", TYPE);
    try (CortexEvents cortex = engine.connect();
        Connection late = engine.begin()) {
      engine.emit(late, EventDraft.of(TYPE, "test"));
      Worker worker = cortex.work(List.of(handler("resting", TYPE)));
      engine.emit(EventDraft.of(TYPE, "test"));
      engine.awaitNumber(1, DONE);
      assertThat(worker.awaitDrained(TestEngine.PATIENCE)).isTrue();
      late.commit();
      engine.awaitNumber(2, DONE);
    }
  }

  /** One holds K, the others sleep beside it: whoever emits notifies, and all of them hear. */
  @Test
  void interleaving_14_three_sleepers_hear_every_emitter() throws Exception {
    short handler = engine.subscribe("heard", TYPE);
    try (Connection a = engine.session();
        Connection b = engine.session();
        Connection c = engine.session()) {
      WakeUp holding = WakeUp.listen(a);
      WakeUp beside = WakeUp.listen(b);
      WakeUp besideToo = WakeUp.listen(c);
      assertThat(holding.tryToRest()).isEqualTo(Rest.HOLDING);
      assertThat(beside.tryToRest()).isEqualTo(Rest.BESIDE);
      assertThat(besideToo.tryToRest()).isEqualTo(Rest.BESIDE);
      engine.emit(EventDraft.of(TYPE, "test"));

      for (WakeUp sleeper : List.of(holding, beside, besideToo)) {
        assertThat(hears(sleeper)).isEqualTo(new Signal(List.of(handler), false));
      }
    }
  }

  /** A wakes and gives K back: without a word to the others, emitters would notify nobody. */
  @Test
  void interleaving_14_one_of_those_beside_takes_k_when_its_holder_wakes() throws Exception {
    short handler = engine.subscribe("handed", TYPE);
    try (Connection a = engine.session();
        Connection b = engine.session();
        Connection c = engine.session()) {
      WakeUp first = WakeUp.listen(a);
      WakeUp second = WakeUp.listen(b);
      WakeUp third = WakeUp.listen(c);
      assertThat(first.tryToRest()).isEqualTo(Rest.HOLDING);
      assertThat(second.tryToRest()).isEqualTo(Rest.BESIDE);
      assertThat(third.tryToRest()).isEqualTo(Rest.BESIDE);
      first.giveBack();

      assertThat(hears(second)).isEqualTo(new Signal(List.of(), true));
      assertThat(hears(third)).isEqualTo(new Signal(List.of(), true));
      assertThat(second.tryToRest()).isEqualTo(Rest.HOLDING);
      assertThat(third.tryToRest()).isEqualTo(Rest.BESIDE);
      engine.emit(EventDraft.of(TYPE, "test"));
      assertThat(hears(third)).isEqualTo(new Signal(List.of(handler), false));
      assertThat(first.await(AT_ONCE)).as("its own handover").doesNotContain(handover());
    }
  }

  private static Signal handover() {
    return new Signal(List.of(), true);
  }

  /** It is busy: it does not sleep, so nobody has to notify for its sake. */
  @Test
  void interleaving_14_without_a_sleeper_nobody_notifies() throws Exception {
    engine.subscribe("busy", TYPE);
    try (Connection session = engine.session()) {
      WakeUp awake = WakeUp.listen(session);
      engine.emit(EventDraft.of(TYPE, "test"));
      TestEngine.text(session, "select 1");

      assertThat(awake.await(AT_ONCE)).isEmpty();
    }
  }

  /** Every emitter notifies for its sake, but it need not claim what is not its own. */
  @Test
  void interleaving_14_an_idle_process_beside_busy_ones_hears_whose_work_it_is() throws Exception {
    engine.subscribe("idle", TYPE + ".idle");
    short busy = engine.subscribe("busy", TYPE);
    try (Connection session = engine.session()) {
      WakeUp idle = WakeUp.listen(session);
      assertThat(idle.tryToRest()).isEqualTo(Rest.HOLDING);
      engine.emit(EventDraft.of(TYPE, "test"));

      assertThat(hears(idle)).isEqualTo(new Signal(List.of(busy), false));
    }
  }

  @Test
  void interleaving_14_three_workers_on_different_handlers_handle_event_after_event()
      throws Exception {
    List<CortexEvents> processes = new ArrayList<>();
    try {
      for (String name : List.of("one", "two", "three")) {
        engine.subscribe(name, TYPE + "." + name);
        CortexEvents process = engine.connect();
        processes.add(process);
        process.work(List.of(handler(name, TYPE + "." + name)));
      }
      for (int round = 1; round <= 20; round++) {
        engine.emit(EventDraft.of(TYPE + ".one", "test"));
        engine.emit(EventDraft.of(TYPE + ".three", "test"));
        engine.emit(EventDraft.of(TYPE + ".two", "test"));
        engine.awaitNumber(3L * round, DONE);
      }
    } finally {
      processes.forEach(CortexEvents::close);
    }
  }

  /** What is not due yet is a reason to wake up at that time. */
  @Test
  void interleaving_15_a_sleeper_knows_when_the_next_of_its_deliveries_is_due() throws Exception {
    short handler = engine.subscribe("later", TYPE);
    Instant first = Instant.now().plus(1, ChronoUnit.HOURS).truncatedTo(ChronoUnit.MICROS);
    engine.emit(EventDraft.of(TYPE, "test").withRunAt(first.plusSeconds(60)));
    engine.emit(EventDraft.of(TYPE, "test").withRunAt(first));
    try (Connection session = engine.session()) {
      assertThat(engine.store().dueHandlers(session, Map.of(handler, ClaimWindow.everything())))
          .singleElement()
          .satisfies(
              due -> {
                assertThat(due.isDue()).isFalse();
                assertThat(due.nextRunAt()).isEqualTo(Optional.of(first));
              });
    }
  }

  /** A busy worker beside an idle one: what the busy one holds is no reason to stay awake. */
  @Test
  void interleaving_15_what_another_worker_holds_is_not_due() throws Exception {
    short handler = engine.subscribe("held", TYPE);
    engine.emit(TYPE, 3);
    try (Connection other = engine.begin();
        Connection session = engine.session()) {
      assertThat(engine.claim(other, handler, 10)).hasSize(3);
      assertThat(engine.store().dueHandlers(session, Map.of(handler, ClaimWindow.everything())))
          .noneMatch(DueHandler::isDue);
      other.rollback();
      assertThat(engine.store().dueHandlers(session, Map.of(handler, ClaimWindow.everything())))
          .allMatch(DueHandler::isDue);
    }
  }

  /** Any login can take K, and hold it for ever. */
  @Test
  void interleaving_23_whoever_holds_k_costs_notifications_or_polls_and_stops_nobody()
      throws Exception {
    engine.subscribe("undisturbed", TYPE);
    try (CortexEvents cortex = engine.connect();
        Connection outsider = engine.session()) {
      cortex.work(List.of(handler("undisturbed", TYPE)));
      TestEngine.run(outsider, "select pg_advisory_lock_shared(cortex.wake_key())");
      engine.emit(TYPE, 10);
      engine.awaitNumber(10, DONE);
      TestEngine.run(outsider, "select pg_advisory_unlock_all()");
      TestEngine.run(outsider, "select pg_advisory_lock(cortex.wake_key())");
      engine.emit(TYPE, 10);
      engine.awaitNumber(20, DONE);
    }
  }

  private static HandlerDefinition handler(String name, String type) {
    return HandlerDefinition.oneByOne(
            name, (event, context) -> TestEngine.effect(name, event, context))
        .on(type);
  }

  private static Signal hears(WakeUp sleeper) throws SQLException {
    List<Signal> signals = sleeper.await(TestEngine.PATIENCE);
    assertThat(signals).hasSize(1);
    return signals.get(0);
  }
}
