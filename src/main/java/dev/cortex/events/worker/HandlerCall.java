package dev.cortex.events.worker;

import dev.cortex.events.database.DatabaseFault;
import dev.cortex.events.delivery.Delivery;
import dev.cortex.events.event.Cause;
import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.handler.BatchContext;
import dev.cortex.events.handler.HandlerContext;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.HandlerDefinition.Batch;
import dev.cortex.events.handler.HandlerDefinition.OneByOne;
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
  record Threw(Failure failure, boolean isForeign) implements Result {}

  private static final int VALIDATION_SECONDS = 5;

  private static final Returned DONE = new Returned(Outcome.done());

  /** Whatever the handler made of it: a connection that is out of step commits nothing. */
  private static final Threw BROKEN =
      new Threw(
          new Failure(
              Failure.Kind.OTHER,
              DatabaseFault.CONNECTION_LOST,
              "08006",
              "an error inside of the driver left the connection out of step"),
          false);

  private final Outbox outbox;

  HandlerCall(Outbox outbox) {
    this.outbox = outbox;
  }

  /**
   * Handles deliveries whose events are there, in order, in one transaction. Stops at the first
   * that is not done; of none at all the handler hears nothing.
   */
  Result handle(Session session, HandlerDefinition definition, List<Delivery> deliveries) {
    GuardedConnection guarded = new GuardedConnection(session.connection(), session::suspect);
    try {
      return caught(
          () -> new Handling(session, guarded.connection(), definition).call(deliveries),
          session,
          guarded);
    } finally {
      guarded.revoke();
      clearInterrupt();
    }
  }

  /** Handles a leased delivery, with no transaction open. */
  Result handle(HeldLease held, LeaseCall context) {
    LeasedHandler handler = HeldLease.terms(held.queue()).handler();
    try {
      return caught(
          () -> {
            Outcome outcome = present(handler.handle(context.event(), context));
            context.limit().check();
            return new Returned(outcome);
          });
    } finally {
      held.ended();
    }
  }

  /** Writes what a leased handler gave its context, in the transaction that acknowledges it. */
  Result complete(Session session, LeaseCall context) {
    GuardedConnection guarded = new GuardedConnection(session.connection(), session::suspect);
    try {
      return caught(
          () -> {
            context.write(guarded.connection());
            return DONE;
          },
          session,
          guarded);
    } finally {
      guarded.revoke();
      clearInterrupt();
    }
  }

  /** Calls what may have lost, or put out of step, the connection of the session. */
  private static Result caught(Callable<Result> call, Session session, GuardedConnection guarded) {
    Result result = caught(call);
    if (guarded.isBroken()) {
      session.spoil();
      return BROKEN;
    }
    return result instanceof Threw threw
        ? new Threw(threw.failure(), isForeign(threw.failure(), session.connection()))
        : result;
  }

  private static Result caught(Callable<Result> call) {
    try {
      return call.call();
    } catch (Throwable e) {
      return new Threw(Failure.of(e), false);
    }
  }

  private static Outcome present(Outcome outcome) {
    return Objects.requireNonNull(outcome, "the handler returned null instead of an outcome");
  }

  private static boolean isForeign(Failure failure, Connection transaction) {
    try {
      return failure.fault() == DatabaseFault.CONNECTION_LOST
          && transaction.isValid(VALIDATION_SECONDS);
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

  private static Event event(Delivery delivery) {
    return delivery.event().orElseThrow();
  }

  /** One call of a handler, or several in a row, with what its contexts share. */
  private final class Handling {
    private final Session session;
    private final Connection connection;
    private final HandlerDefinition definition;

    Handling(Session session, Connection connection, HandlerDefinition definition) {
      this.session = session;
      this.connection = connection;
      this.definition = definition;
    }

    Result call(List<Delivery> deliveries) throws Exception {
      if (deliveries.isEmpty()) {
        return DONE;
      }
      if (definition.work() instanceof Batch batch) {
        List<Event> events = deliveries.stream().map(HandlerCall::event).toList();
        EmitLimit limit = new EmitLimit((long) definition.maxEmitted() * events.size());
        batch.handler().handle(events, new BatchCall(this, new ByEvent(deliveries), limit));
        limit.check();
        return DONE;
      }
      OneByOne oneByOne = (OneByOne) definition.work();
      for (Delivery delivery : deliveries) {
        EmitLimit limit = new EmitLimit(definition.maxEmitted());
        Outcome outcome =
            present(
                oneByOne.handler().handle(event(delivery), new SingleCall(this, delivery, limit)));
        limit.check();
        if (!(outcome instanceof Outcome.Done)) {
          return new Returned(outcome);
        }
      }
      return DONE;
    }

    String emit(EventDraft draft, Event cause, EmitLimit limit) {
      limit.count();
      return outbox.emit(connection, draft, Cause.of(cause));
    }
  }

  private record SingleCall(Handling handling, Delivery delivery, EmitLimit limit)
      implements HandlerContext {
    @Override
    public Connection connection() {
      return handling.connection;
    }

    @Override
    public String emit(EventDraft draft) {
      return handling.emit(draft, event(delivery), limit);
    }

    @Override
    public boolean isLost() {
      return handling.session.isLost(delivery);
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

  /** The deliveries of a batch, by their events. */
  private static final class ByEvent {
    private final Map<String, Delivery> byId = new HashMap<>();

    /** An event and its replay are equal, and two objects. */
    private final IdentityHashMap<Event, Delivery> byObject = new IdentityHashMap<>();

    ByEvent(List<Delivery> deliveries) {
      for (Delivery delivery : deliveries) {
        byId.putIfAbsent(event(delivery).id(), delivery);
        byObject.put(event(delivery), delivery);
      }
    }

    Delivery delivery(Event event) {
      Delivery delivery = byObject.getOrDefault(event, byId.get(event.id()));
      if (delivery == null) {
        throw new IllegalArgumentException("event must be one of this batch, was " + event.id());
      }
      return delivery;
    }
  }

  private record BatchCall(Handling handling, ByEvent deliveries, EmitLimit limit)
      implements BatchContext {
    @Override
    public Connection connection() {
      return handling.connection;
    }

    @Override
    public String emit(EventDraft draft, Event cause) {
      return handling.emit(draft, cause, limit);
    }

    @Override
    public boolean isLost(Event event) {
      return handling.session.isLost(delivery(event));
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
      return deliveries.delivery(event);
    }
  }
}
