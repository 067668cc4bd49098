package dev.cortex.events.handler;

import dev.cortex.events.event.Event;

/**
 * Handles one event in a transaction of the engine's: what it writes through the context's
 * connection commits together with its acknowledgement, or not at all.
 *
 * <p>The engine may run several events of a batch one after another in one transaction and, when
 * one of them fails, run them all again one by one. So an event's effects in the database happen
 * once, but its effects outside of it (in memory, on a file, over the network) may be repeated.
 *
 * <p>Called by several threads at once.
 */
@FunctionalInterface
public interface EventHandler {

  /**
   * Handles the event. Anything thrown is a failure of this attempt, as {@link Outcome.Retry} is;
   * an {@link dev.cortex.events.event.InvalidEventException} is dead at once, since what breaks a
   * rule now will break it again.
   *
   * @return what becomes of the delivery; only with {@link Outcome.Done} do the effects persist
   */
  Outcome handle(Event event, HandlerContext context) throws Exception;
}
