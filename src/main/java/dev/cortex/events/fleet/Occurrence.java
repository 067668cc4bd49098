package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import java.time.Instant;

/**
 * When an event happened: as it says, but not after it was received. One from a clock that is years
 * ahead would else be the newest for years, whatever came after it.
 */
final class Occurrence {
  private Occurrence() {}

  static Instant of(Event event) {
    return event.occurredAt().isAfter(event.receivedAt()) ? event.receivedAt() : event.occurredAt();
  }
}
