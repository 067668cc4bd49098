package dev.cortex.events.handler;

import dev.cortex.events.event.Event;

/**
 * Handles one event outside of any transaction, under a lease: for effects outside of the database
 * and for long work. The lease is renewed while this runs and dies with the process; then another
 * worker runs the event again. So the effects of this happen at least once: give the other side the
 * idempotency key to know a repetition by, or the fence to refuse what comes late.
 *
 * <p>Called by several threads at once. The thread is interrupted when what it does cannot count
 * any more: {@link LeaseContext#isLost}.
 */
@FunctionalInterface
public interface LeasedHandler {

  /**
   * Handles the event. Anything thrown is a failure of this attempt, as {@link Outcome.Retry} is;
   * an {@link dev.cortex.events.event.InvalidEventException} is dead at once.
   *
   * @return what becomes of the delivery; only with {@link Outcome.Done} is anything emitted and
   *     completed that the context was given
   */
  Outcome handle(Event event, LeaseContext context) throws Exception;
}
