package dev.cortex.events.operate;

import static org.assertj.core.api.Assertions.assertThat;

import dev.cortex.events.database.PostgresExtension;
import dev.cortex.events.database.TestDatabase;
import dev.cortex.events.delivery.ClaimWindow;
import dev.cortex.events.delivery.Delivery;
import dev.cortex.events.delivery.DeliveryStore;
import dev.cortex.events.delivery.SessionStore;
import dev.cortex.events.delivery.Settlement;
import dev.cortex.events.event.ErrorCode;
import dev.cortex.events.event.Priority;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.concurrent.atomic.AtomicInteger;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.extension.ExtendWith;

/**
 * Every action in every state of a delivery, as users see them: what is answered, and what state
 * follows. Whoever acts is somebody else than the worker that holds a running delivery, except
 * where it acknowledges or fails it; in the other states those two are the words of a worker whose
 * transaction has ended.
 */
@ExtendWith(PostgresExtension.class)
class DeliveryStatesTest {
  private static final String TYPE = "test.states";
  private static final Duration LATER = Duration.ofHours(1);
  private static final int WORKER = 9;

  private static final AtomicInteger SCENES = new AtomicInteger();

  private static final String EXPECTED =
      """
      scheduled: claim -> nothing, scheduled
      scheduled: acknowledge -> refused, scheduled
      scheduled: fail -> refused, scheduled
      scheduled: retry -> refused, scheduled
      scheduled: redrive -> 0, scheduled
      scheduled: cancel -> cancelled, cancelled
      scheduled: pause -> paused, scheduled
      scheduled: resume -> resumed, scheduled
      available: claim -> claimed, running
      available: acknowledge -> refused, available
      available: fail -> refused, available
      available: retry -> refused, available
      available: redrive -> 0, available
      available: cancel -> cancelled, cancelled
      available: pause -> paused, available
      available: resume -> resumed, available
      running: claim -> nothing, running
      running: acknowledge -> acknowledged, completed
      running: fail -> charged, retrying
      running: retry -> running, running
      running: redrive -> 0, running
      running: cancel -> running, running
      running: pause -> paused, running
      running: resume -> resumed, running
      retrying: claim -> nothing, retrying
      retrying: acknowledge -> refused, retrying
      retrying: fail -> refused, retrying
      retrying: retry -> available, available
      retrying: redrive -> 0, retrying
      retrying: cancel -> cancelled, cancelled
      retrying: pause -> paused, retrying
      retrying: resume -> resumed, retrying
      completed: claim -> nothing, completed
      completed: acknowledge -> refused, completed
      completed: fail -> refused, completed
      completed: retry -> not found, completed
      completed: redrive -> 0, completed
      completed: cancel -> nothing, completed
      completed: pause -> paused, completed
      completed: resume -> resumed, completed
      dead: claim -> nothing, dead
      dead: acknowledge -> refused, dead
      dead: fail -> refused, dead
      dead: retry -> available, available
      dead: redrive -> 1, available
      dead: cancel -> cancelled, cancelled
      dead: pause -> paused, dead
      dead: resume -> resumed, dead
      cancelled: claim -> nothing, cancelled
      cancelled: acknowledge -> refused, cancelled
      cancelled: fail -> refused, cancelled
      cancelled: retry -> not found, cancelled
      cancelled: redrive -> 0, cancelled
      cancelled: cancel -> nothing, cancelled
      cancelled: pause -> paused, cancelled
      cancelled: resume -> resumed, cancelled
      """;

  private final TestQueue queue;
  private final Operations operator;
  private final DeliveryStore store = new DeliveryStore();

  DeliveryStatesTest(TestDatabase database) {
    this.queue = new TestQueue(database);
    this.operator = queue.operator();
  }

  private enum State {
    SCHEDULED,
    AVAILABLE,
    RUNNING,
    RETRYING,
    COMPLETED,
    DEAD,
    CANCELLED
  }

  private enum Action {
    CLAIM,
    ACKNOWLEDGE,
    FAIL,
    RETRY,
    REDRIVE,
    CANCEL,
    PAUSE,
    RESUME
  }

  @Test
  void every_action_in_every_state_has_one_answer_and_one_state_after_it() throws SQLException {
    List<String> actual = new ArrayList<>();
    for (State state : State.values()) {
      for (Action action : Action.values()) {
        try (Scene scene = new Scene(state, action)) {
          actual.add(scene.play());
        }
      }
    }
    assertThat(actual).containsExactlyElementsOf(EXPECTED.lines().toList());
  }

  /** What is paused is claimed by nobody, and what is resumed by the next who asks. */
  @Test
  void a_pause_holds_what_is_available_and_a_resumption_lets_it_go() throws SQLException {
    try (Scene scene = new Scene(State.AVAILABLE, Action.CLAIM)) {
      scene.prepare();
      scene.pause();
      assertThat(scene.claim()).isEqualTo("nothing");
      scene.resume();
      assertThat(scene.claim()).isEqualTo("claimed");
    }
  }

  /** One delivery of a handler of its own, the worker that may hold it, and one more worker. */
  private final class Scene implements AutoCloseable {
    private final State state;
    private final Action action;
    private final String handler;
    private final Connection holder;
    private final Connection other;
    private final String eventId;
    private final short handlerId;
    private Delivery seen;

    Scene(State state, Action action) throws SQLException {
      this.state = state;
      this.action = action;
      this.handler = "states-" + SCENES.incrementAndGet();
      queue.run("delete from cortex.subscriptions");
      queue.handler(handler, TYPE);
      this.handlerId =
          Short.parseShort(
              queue.text("select handler_id from cortex.handlers where name = ?", handler));
      this.holder = queue.connection();
      this.other = queue.connection();
      holder.setAutoCommit(false);
      other.setAutoCommit(false);
      this.eventId =
          state == State.SCHEDULED
              ? queue.text(
                  "select cortex.emit(?, 'test', run_at => clock_timestamp() + '1 hour')", TYPE)
              : queue.emit(TYPE);
      this.seen = neverClaimed();
    }

    /** As somebody sees it who has not locked it. */
    private Delivery neverClaimed() throws SQLException {
      return new Delivery(
          queue.text("select ctid from cortex.deliveries where handler_id = ?", handlerId),
          Instant.EPOCH,
          handlerId,
          (short) 0,
          Priority.MEDIUM,
          Instant.EPOCH,
          0,
          (short) 0,
          0,
          Optional.empty());
    }

    String play() throws SQLException {
      prepare();
      assertThat(stateNow()).isEqualTo(word(state));
      String answer = act();
      return "%s: %s -> %s, %s".formatted(word(state), word(action), answer, stateNow());
    }

    void prepare() throws SQLException {
      switch (state) {
        case SCHEDULED, AVAILABLE -> {}
        case RUNNING -> hold(holder);
        case RETRYING -> settle(Settlement.retry("handler_failed", "test", LATER));
        case DEAD -> settle(Settlement.dead("handler_failed", "test"));
        case COMPLETED -> {
          hold(holder);
          assertThat(acknowledge()).isEqualTo("acknowledged");
        }
        case CANCELLED -> assertThat(cancel()).isEqualTo("cancelled");
      }
    }

    /** Claims it and shows that, as a batch does that runs for a while. */
    private void hold(Connection worker) throws SQLException {
      seen = store.claim(worker, handlerId, ClaimWindow.everything(), 10).deliveries().get(0);
      queue.run(
          "insert into cortex.slots values (?, 1, ?, array[?], clock_timestamp())",
          WORKER,
          handlerId,
          seen.number());
    }

    private void settle(Settlement settlement) throws SQLException {
      hold(holder);
      assertThat(store.settle(holder, WORKER, seen, settlement)).isTrue();
      endOfBatch(holder);
    }

    private void endOfBatch(Connection worker) throws SQLException {
      worker.commit();
      queue.run("delete from cortex.slots");
    }

    private String act() throws SQLException {
      return switch (action) {
        case CLAIM -> claim();
        case ACKNOWLEDGE -> acknowledge();
        case FAIL -> fail();
        case RETRY -> retry();
        case REDRIVE -> String.valueOf(operator.redrive(handler, Optional.empty(), 10, "a test"));
        case CANCEL -> cancel();
        case PAUSE -> pause();
        case RESUME -> resume();
      };
    }

    String claim() throws SQLException {
      if (store.claim(other, handlerId, ClaimWindow.everything(), 10).deliveries().isEmpty()) {
        other.rollback();
        return "nothing";
      }
      other.rollback();
      hold(other);
      return "claimed";
    }

    private String acknowledge() throws SQLException {
      int acknowledged =
          store.acknowledge(holder, WORKER, List.of(seen), new SessionStore().state(holder));
      endOfBatch(holder);
      return acknowledged == 1 ? "acknowledged" : "refused";
    }

    private String fail() throws SQLException {
      boolean isCharged =
          store.settle(holder, WORKER, seen, Settlement.retry("handler_failed", "test", LATER));
      endOfBatch(holder);
      return isCharged ? "charged" : "refused";
    }

    private String retry() {
      try {
        return operator.retry(eventId, handler, "a test").label();
      } catch (OperationRefusedException e) {
        return e.code() == ErrorCode.NOT_FOUND ? "not found" : "refused";
      }
    }

    private String cancel() {
      List<Cancellation> cancellations = operator.cancel(eventId, Optional.of(handler), "a test");
      return cancellations.isEmpty() ? "nothing" : cancellations.get(0).state().label();
    }

    String pause() {
      operator.pauseHandler(handler, "a test");
      return "paused";
    }

    String resume() {
      operator.resumeHandler(handler, "a test");
      return "resumed";
    }

    private String stateNow() {
      return operator.deliveries(eventId).stream()
          .filter(delivery -> delivery.handler().equals(handler))
          .map(delivery -> delivery.state().label())
          .findFirst()
          .orElse("none");
    }

    @Override
    public void close() throws SQLException {
      holder.close();
      other.close();
      queue.run("delete from cortex.slots");
    }
  }

  private static String word(Enum<?> constant) {
    return constant.name().toLowerCase(Locale.ROOT);
  }
}
