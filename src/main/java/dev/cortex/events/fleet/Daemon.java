package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;

/** The daemon of which an event tells. */
final class Daemon {
  private Daemon() {}

  /** What the payload calls it, else the event's source. */
  static String nameIn(Event event) {
    return Payload.of(event).text("daemon", "daemon_name", "name").orElse(event.source());
  }
}
