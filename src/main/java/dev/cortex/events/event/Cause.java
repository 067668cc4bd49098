package dev.cortex.events.event;

/**
 * The event whose handling emits another one: what the other one inherits from it.
 *
 * @param eventId its public id
 * @param depth what the other one's causation depth is: one more than its own
 * @param correlationId what the other one belongs to where it does not say so itself
 */
public record Cause(String eventId, int depth, String correlationId) {
  /** Checks the ids and that the depth is one of a caused event. */
  public Cause {
    EventId.checked(eventId);
    if (depth < 1 || depth > Short.MAX_VALUE) {
      throw new InvalidEventException(
          "causation_depth", "must be 1 to 32767", Integer.toString(depth));
    }
    EventRules.checkLength("correlation_id", correlationId);
  }

  /** An event as a cause. What belongs to nothing yet belongs to it from now on. */
  public static Cause of(Event event) {
    return new Cause(
        event.id(),
        Math.min(event.causationDepth() + 1, Short.MAX_VALUE),
        event.correlationId().orElse(event.id()));
  }
}
