package dev.cortex.events.worker;

import dev.cortex.events.delivery.Delivery;
import dev.cortex.events.event.Cause;
import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Json;
import dev.cortex.events.handler.LeaseContext;
import dev.cortex.events.outbox.Outbox;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;

/**
 * The context of one leased call, which keeps what is to be written until the acknowledgement. Of
 * its handler's thread, {@link #isLost} aside.
 */
final class LeaseCall implements LeaseContext {
  private final HeldLease held;
  private final Event event;
  private final Outbox outbox;
  private final EmitLimit limit;
  private final List<Completion> completions = new ArrayList<>();

  private boolean isCompleting;

  LeaseCall(HeldLease held, Outbox outbox) {
    this.held = held;
    this.event = held.lease().delivery().event().orElseThrow();
    this.outbox = outbox;
    this.limit = new EmitLimit(held.queue().definition().maxEmitted());
  }

  EmitLimit limit() {
    return limit;
  }

  /** Whether the transaction of the acknowledgement runs code of the handler's. */
  boolean hasCompletions() {
    return isCompleting;
  }

  Event event() {
    return event;
  }

  /** Writes what the handler gave, in the order in which it did. */
  void write(Connection transaction) throws SQLException {
    for (Completion completion : completions) {
      completion.write(transaction);
    }
  }

  @Override
  public String handler() {
    return held.queue().name();
  }

  @Override
  public int attempt() {
    return delivery().attempt() + 1;
  }

  @Override
  public int generation() {
    return delivery().generation();
  }

  @Override
  public String idempotencyKey() {
    // By the handler's number, which outlives a renaming.
    return event.id() + "/" + held.queue().handlerId() + "/" + generation();
  }

  @Override
  public Json extensions() {
    return held.lease().extensions();
  }

  @Override
  public long fence() {
    return held.lease().heldFence();
  }

  @Override
  public boolean isLost() {
    return held.isLost();
  }

  @Override
  public void emit(EventDraft draft) {
    limit.count();
    completions.add(connection -> outbox.emit(connection, draft, Cause.of(event)));
  }

  @Override
  public void complete(Completion completion) {
    isCompleting = true;
    completions.add(completion);
  }

  private Delivery delivery() {
    return held.lease().delivery();
  }
}
