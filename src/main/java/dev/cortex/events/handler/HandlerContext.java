package dev.cortex.events.handler;

import dev.cortex.events.event.EventDraft;
import java.sql.Connection;

/**
 * What a handler has beside its event. Valid until the handler returns; confined to its thread,
 * {@link #isLost} aside.
 */
public interface HandlerContext {

  /**
   * The transaction of this attempt, at READ COMMITTED. It belongs to the engine: committing it,
   * rolling it back, closing it or changing its auto-commit is refused.
   */
  Connection connection();

  /**
   * Emits an event in this transaction. It carries the handled event as its cause and, unless the
   * draft states another, that event's correlation id (or its id, where it has none).
   *
   * @return the public id of the new event, or of the first one that the draft repeats
   * @throws dev.cortex.events.event.InvalidEventException when the draft breaks a rule of the
   *     database
   */
  String emit(EventDraft draft);

  /**
   * Whether what the handler does cannot count any more: an operator has cancelled the delivery, or
   * the time budget is over. Then return, with whatever outcome: nothing of it persists. May be
   * asked by any thread.
   */
  boolean isLost();

  /** Which attempt this is, from 1; attempts that were not charged count once only. */
  int attempt();

  /** 0 for the original delivery, n for the n-th replay of the event. */
  int generation();
}
