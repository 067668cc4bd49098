package dev.cortex.events.worker;

import dev.cortex.events.database.DatabaseFault;
import dev.cortex.events.delivery.Delivery;
import dev.cortex.events.event.Cause;
import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.handler.BatchContext;
import dev.cortex.events.handler.HandlerContext;
import dev.cortex.events.handler.HandlerDefinition.Batch;
import dev.cortex.events.handler.HandlerDefinition.OneByOne;
import dev.cortex.events.handler.HandlerDefinition.Work;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.outbox.Outbox;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/**
 * Calls the user's code, and is the one place that catches whatever it throws. The handler gets a
 * guarded connection that is of no use after the call.
 */
final class HandlerCall {

  /** How a call ended: with an outcome, or with something thrown. */
  sealed interface Result {}

  /** The handler returned. */
  record Returned(Outcome outcome) implements Result {}

  /**
   * The handler threw.
   *
   * @param isForeign whether it lost a connection that is not the engine's
   */
  record Threw(Throwable error, boolean isForeign) implements Result {}

  private static final int VALIDATION_SECONDS = 5;

  private static final Returned DONE = new Returned(Outcome.done());

  private final Outbox outbox;

  HandlerCall(Outbox outbox) {
    this.outbox = outbox;
  }

  /**
   * Handles deliveries whose events are there, in order, in one transaction. Stops at the first
   * that is not done; of none at all the handler hears nothing.
   */
  Result handle(Connection transaction, Work work, List<Delivery> deliveries) {
    GuardedConnection guarded = new GuardedConnection(transaction);
    try {
      return call(guarded.connection(), work, deliveries);
    } catch (Throwable e) {
      return new Threw(e, isForeign(e, transaction));
    } finally {
      guarded.revoke();
      clearInterrupt();
    }
  }

  private static boolean isForeign(Throwable error, Connection transaction) {
    boolean isLoss =
        DatabaseFault.of(error).filter(DatabaseFault.CONNECTION_LOST::equals).isPresent();
    try {
      return isLoss && transaction.isValid(VALIDATION_SECONDS);
    } catch (SQLException e) {
      return false;
    }
  }

  /**
   * The thread is the engine's. Left interrupted, it could not wait for its next turn; where the
   * engine itself interrupted it, its loop is stopping already.
   */
  private static void clearInterrupt() {
    Thread.interrupted();
  }

  private Result call(Connection guarded, Work work, List<Delivery> deliveries) throws Exception {
    if (deliveries.isEmpty()) {
      return DONE;
    }
    if (work instanceof Batch batch) {
      List<Event> events = deliveries.stream().map(HandlerCall::event).toList();
      batch.handler().handle(events, new BatchCall(guarded, attempts(deliveries)));
      return DONE;
    }
    OneByOne oneByOne = (OneByOne) work;
    for (Delivery delivery : deliveries) {
      Outcome outcome =
          oneByOne.handler().handle(event(delivery), new SingleCall(guarded, delivery));
      Objects.requireNonNull(outcome, "the handler returned null instead of an outcome");
      if (!(outcome instanceof Outcome.Done)) {
        return new Returned(outcome);
      }
    }
    return DONE;
  }

  private static Event event(Delivery delivery) {
    return delivery.event().orElseThrow();
  }

  private static Map<String, Integer> attempts(List<Delivery> deliveries) {
    Map<String, Integer> attempts = new HashMap<>();
    for (Delivery delivery : deliveries) {
      attempts.put(event(delivery).id(), delivery.attempt() + 1);
    }
    return attempts;
  }

  private final class SingleCall implements HandlerContext {
    private final Connection connection;
    private final Delivery delivery;

    SingleCall(Connection connection, Delivery delivery) {
      this.connection = connection;
      this.delivery = delivery;
    }

    @Override
    public Connection connection() {
      return connection;
    }

    @Override
    public String emit(EventDraft draft) {
      return outbox.emit(connection, draft, Cause.of(event(delivery)));
    }

    @Override
    public int attempt() {
      return delivery.attempt() + 1;
    }

    @Override
    public int generation() {
      return delivery.generation();
    }
  }

  private final class BatchCall implements BatchContext {
    private final Connection connection;
    private final Map<String, Integer> attempts;

    BatchCall(Connection connection, Map<String, Integer> attempts) {
      this.connection = connection;
      this.attempts = attempts;
    }

    @Override
    public Connection connection() {
      return connection;
    }

    @Override
    public String emit(EventDraft draft, Event cause) {
      return outbox.emit(connection, draft, Cause.of(cause));
    }

    @Override
    public int attempt(Event event) {
      Integer attempt = attempts.get(event.id());
      if (attempt == null) {
        throw new IllegalArgumentException("event must be one of this batch, was " + event.id());
      }
      return attempt;
    }
  }
}
