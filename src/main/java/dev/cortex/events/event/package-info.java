/**
 * The vocabulary: an event as emitted ({@link dev.cortex.events.event.EventDraft}), an event as
 * recorded ({@link dev.cortex.events.event.Event}), its id, its priority, its JSON, and the rules
 * that each of them holds to. Also the base of every error.
 *
 * <p>Read first: {@code EventDraft}. Nothing in here does I/O or knows of a database.
 */
@NullMarked
package dev.cortex.events.event;

import org.jspecify.annotations.NullMarked;
