package dev.cortex.events.outbox;

import dev.cortex.events.event.EventDraft;

/**
 * As what an import takes lines that are no envelopes: those of older daemons, whose type is
 * undotted, which have no id, and whose other fields are free. The whole line becomes the payload.
 *
 * @param type the event type, dotted
 * @param source the source
 */
public record OlderLines(String type, String source) {
  /** Checks type and source as those of an event. */
  public OlderLines {
    EventDraft.of(type, source);
  }
}
