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
import dev.cortex.events.handler.LeasedHandler;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.outbox.Outbox;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.HashMap;
import java.util.IdentityHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;

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
      return caught(() -> call(guarded.connection(), work, deliveries), transaction);
    } finally {
      guarded.revoke();
      clearInterrupt();
    }
  }

  /** Handles a leased delivery, with no transaction open. */
  Result handle(HeldLease held, LeaseCall context) {
    LeasedHandler handler = HeldLease.terms(held.queue()).handler();
    try {
      return caught(() -> new Returned(present(handler.handle(context.event(), context))), null);
    } finally {
      held.ended();
    }
  }

  /** Writes what a leased handler gave its context, in the transaction that acknowledges it. */
  Result complete(Connection transaction, LeaseCall context) {
    GuardedConnection guarded = new GuardedConnection(transaction);
    try {
      return caught(
          () -> {
            context.write(guarded.connection());
            return DONE;
          },
          transaction);
    } finally {
      guarded.revoke();
      clearInterrupt();
    }
  }

  /**
   * @param transaction the engine's, that the call may have lost; null where it has none
   */
  private static Result caught(Callable<Result> call, @Nullable Connection transaction) {
    try {
      return call.call();
    } catch (Throwable e) {
      return new Threw(e, isForeign(e, transaction));
    }
  }

  private static Outcome present(Outcome outcome) {
    return Objects.requireNonNull(outcome, "the handler returned null instead of an outcome");
  }

  private static boolean isForeign(Throwable error, @Nullable Connection transaction) {
    boolean isLoss =
        DatabaseFault.of(error).filter(DatabaseFault.CONNECTION_LOST::equals).isPresent();
    try {
      return isLoss && (transaction == null || transaction.isValid(VALIDATION_SECONDS));
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
      batch.handler().handle(events, new BatchCall(guarded, deliveries));
      return DONE;
    }
    OneByOne oneByOne = (OneByOne) work;
    for (Delivery delivery : deliveries) {
      Outcome outcome =
          present(oneByOne.handler().handle(event(delivery), new SingleCall(guarded, delivery)));
      if (!(outcome instanceof Outcome.Done)) {
        return new Returned(outcome);
      }
    }
    return DONE;
  }

  private static Event event(Delivery delivery) {
    return delivery.event().orElseThrow();
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
    private final Map<String, Delivery> byId = new HashMap<>();

    /** An event and its replay are equal, and two objects. */
    private final IdentityHashMap<Event, Delivery> byObject = new IdentityHashMap<>();

    BatchCall(Connection connection, List<Delivery> deliveries) {
      this.connection = connection;
      for (Delivery delivery : deliveries) {
        byId.putIfAbsent(event(delivery).id(), delivery);
        byObject.put(event(delivery), delivery);
      }
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
      return delivery(event).attempt() + 1;
    }

    @Override
    public int generation(Event event) {
      return delivery(event).generation();
    }

    private Delivery delivery(Event event) {
      Delivery delivery = byObject.getOrDefault(event, byId.get(event.id()));
      if (delivery == null) {
        throw new IllegalArgumentException("event must be one of this batch, was " + event.id());
      }
      return delivery;
    }
  }
}
