package dev.cortex.events.operate;

import dev.cortex.events.event.Event;

/**
 * An event of the log.
 *
 * @param line its envelope as one line of JSON
 */
public record LoggedEvent(Event event, String line) {}
