package dev.cortex.events.handler;

import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventDraft;
import java.sql.Connection;

/**
 * What a batch handler has beside its events. Valid until it returns; confined to its thread,
 * {@link #isLost} aside.
 *
 * <p>A batch may hold an event twice, as its delivery and as a replay of it: two objects that are
 * equal, and told apart by being handed back here as they are.
 */
public interface BatchContext {

  /**
   * The transaction of this batch, at READ COMMITTED. It belongs to the engine: committing it,
   * rolling it back, closing it or changing its auto-commit is refused.
   */
  Connection connection();

  /**
   * Emits an event in this transaction, with one of the handled events as its cause.
   *
   * @return the public id of the new event, or of the first one that the draft repeats
   * @throws dev.cortex.events.event.InvalidEventException when the draft breaks a rule of the
   *     database
   */
  String emit(EventDraft draft, Event cause);

  /**
   * Whether what the handler does for this event cannot count any more: an operator has cancelled
   * its delivery, or the time budget is over. Nothing of the batch persists then, and it is called
   * again for the others. May be asked by any thread.
   */
  boolean isLost(Event event);

  /** Which attempt this is for one of the handled events, from 1. */
  int attempt(Event event);

  /** 0 for the original delivery of one of the handled events, n for its n-th replay. */
  int generation(Event event);
}
