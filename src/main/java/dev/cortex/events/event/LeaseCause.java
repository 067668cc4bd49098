package dev.cortex.events.event;

/**
 * The cause of an event that is emitted outside of the worker, by a program that was started for a
 * leased delivery: as its environment tells it. The database refuses it once that lease is lost.
 *
 * @param eventId public id of the event that is handled
 * @param handler the handler's name
 * @param fence of the lease under which it is handled
 */
public record LeaseCause(String eventId, String handler, long fence) {
  /** Checks the id. */
  public LeaseCause {
    EventId.checked(eventId);
  }
}
