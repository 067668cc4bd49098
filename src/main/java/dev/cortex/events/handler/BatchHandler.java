package dev.cortex.events.handler;

import dev.cortex.events.event.Event;
import java.util.List;

/**
 * Handles a list of events in one transaction, best with set-based SQL. When it returns, all of
 * them are done; when it throws, nothing of it persists, and the engine calls it again with one
 * event at a time, so that only those that fail by themselves are charged an attempt. An {@link
 * dev.cortex.events.event.InvalidEventException} makes such an event dead at once.
 *
 * <p>Called by several threads at once. Where two batches may write the same rows, write them in a
 * fixed order (sorted by key), or they deadlock.
 */
@FunctionalInterface
public interface BatchHandler {

  /** Handles the events, at least one, by priority and then by age. */
  void handle(List<Event> events, BatchContext context) throws Exception;
}
