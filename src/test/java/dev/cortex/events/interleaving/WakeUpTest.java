package dev.cortex.events.interleaving;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.delivery.WakeUp;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/** The wake-up protocol, by hand and with sleeping workers. */
@ExtendWith(PostgresExtension.class)
class WakeUpTest {
  private static final Duration PATIENCE = Duration.ofSeconds(20);

  private final TestEngine engine;

  WakeUpTest(TestDatabase database) {
    this.engine = new TestEngine(database);
  }

  @BeforeEach
  void clear() throws SQLException {
    engine.clear();
  }

  @Test
  void
      interleaving_13_k_is_refused_while_an_emitter_is_in_flight_and_its_event_is_seen_after_it_is_granted()
          throws Exception {
    short handler = engine.subscribe("waker", "test.wake");
    try (Connection emitter = engine.begin();
        Connection session = engine.session()) {
      WakeUp wakeUp = WakeUp.listen(session);
      engine.emit(emitter, "test.wake", 1);
      // Later events come and go; a mark that follows them would pass the first one.
      engine.emit("test.wake", 5);
      handleWhatIsThere(handler);
      assertThat(wakeUp.tryToRest()).isEqualTo(WakeUp.Rest.POLLING);
      emitter.commit();
      assertThat(wakeUp.tryToRest()).isEqualTo(WakeUp.Rest.HOLDING);
      assertThat(engine.store().dueHandlers(session, List.of(handler)))
          .singleElement()
          .matches(due -> due.isDue());
    }
  }

  private void handleWhatIsThere(short handler) throws SQLException {
    try (Connection worker = engine.begin()) {
      engine.store().acknowledge(worker, 1, engine.claim(worker, handler, 100));
      worker.commit();
    }
  }

  @Test
  void interleaving_14_who_rests_beside_the_holder_is_told_when_k_is_given_back() throws Exception {
    try (Connection one = engine.session();
        Connection other = engine.session()) {
      WakeUp holder = WakeUp.listen(one);
      WakeUp beside = WakeUp.listen(other);
      assertThat(holder.tryToRest()).isEqualTo(WakeUp.Rest.HOLDING);
      assertThat(beside.tryToRest()).isEqualTo(WakeUp.Rest.BESIDE);
      holder.giveBack();
      assertThat(beside.await(PATIENCE)).singleElement().matches(WakeUp.Signal::isHandover);
      assertThat(beside.tryToRest()).isEqualTo(WakeUp.Rest.HOLDING);
    }
  }

  @Test
  void interleaving_14_a_notification_names_the_handlers_and_reaches_all_who_rest()
      throws Exception {
    short handler = engine.subscribe("named", "test.named");
    try (Connection one = engine.session();
        Connection other = engine.session()) {
      WakeUp holder = WakeUp.listen(one);
      WakeUp beside = WakeUp.listen(other);
      holder.tryToRest();
      beside.tryToRest();
      engine.emit("test.named", 3);
      assertThat(holder.await(PATIENCE))
          .singleElement()
          .matches(signal -> signal.handlerIds().equals(List.of(handler)));
      assertThat(beside.await(PATIENCE))
          .singleElement()
          .matches(signal -> signal.handlerIds().equals(List.of(handler)));
    }
  }

  /** Three processes on different handlers: each wakes for its own, none is forgotten. */
  @Test
  void interleaving_14_three_sleeping_processes_wake_each_for_its_own_handler() throws Exception {
    List<CortexEvents> processes = new ArrayList<>();
    try {
      for (int i = 0; i < 3; i++) {
        String name = "sleeper-" + i;
        engine.subscribe(name, "test.sleeper" + i);
        CortexEvents process = engine.connect();
        processes.add(process);
        process
            .work(
                List.of(
                    HandlerDefinition.oneByOne(
                            name, (event, context) -> TestEngine.effect(name, event, context))
                        .on("test.sleeper" + i)))
            .awaitDrained(PATIENCE);
      }
      for (int round = 1; round <= 20; round++) {
        int sleeper = round % 3;
        engine.emit("test.sleeper" + sleeper, 1);
        engine.awaitNumber(round, "select count(*) from effects");
      }
    } finally {
      processes.forEach(CortexEvents::close);
    }
    assertThat(engine.rows("select distinct handler from effects order by 1"))
        .containsExactly("sleeper-0", "sleeper-1", "sleeper-2");
  }

  @Test
  void interleaving_15_a_sleeper_sets_its_alarm_to_the_next_due_time() throws Exception {
    short handler = engine.subscribe("timed", "test.timed");
    try (Connection session = engine.session()) {
      Instant due = Instant.now().plusSeconds(3600);
      engine.emit(EventDraft.of("test.timed", "test").withRunAt(due));
      assertThat(engine.store().dueHandlers(session, List.of(handler)))
          .singleElement()
          .matches(answer -> !answer.isDue())
          .matches(
              answer ->
                  Duration.between(due, answer.nextRunAt().orElseThrow()).abs().toMillis() < 2);
    }
  }

  @Test
  void interleaving_15_a_retry_wakes_a_sleeper() throws Exception {
    engine.subscribe("retried", "test.retried");
    String id;
    try (CortexEvents cortex = engine.connect()) {
      cortex.work(
          List.of(
              HandlerDefinition.oneByOne(
                      "retried",
                      (event, context) ->
                          context.attempt() == 1
                              ? Outcome.retryIn(Duration.ofDays(1), "tomorrow")
                              : Outcome.done())
                  .on("test.retried")));
      id = engine.emit(EventDraft.of("test.retried", "test"));
      engine.awaitNumber(1, "select count(*) from cortex.attempts where outcome = 'retry'");
      engine.run("select cortex.retry(?, 'retried', 'a test')", id);
      engine.awaitNumber(1, "select count(*) from cortex.attempts where outcome = 'done'");
    }
  }

  /** Any login can take K. Workers then poll, or rest beside; events are handled all the same. */
  @Test
  void interleaving_23_a_stranger_who_holds_k_delays_nothing_for_good() throws Exception {
    engine.subscribe("stubborn", "test.stubborn");
    try (Connection stranger = engine.session();
        CortexEvents cortex = engine.connect()) {
      TestEngine.run(stranger, "select pg_advisory_lock(7293847102938471029)");
      cortex.work(
          List.of(
              HandlerDefinition.oneByOne("stubborn", (event, context) -> Outcome.done())
                  .on("test.stubborn")));
      for (int round = 1; round <= 5; round++) {
        engine.emit("test.stubborn", 1);
        engine.awaitNumber(round, "select count(*) from cortex.attempts where outcome = 'done'");
      }
    }
  }
}
