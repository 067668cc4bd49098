/**
 * The ways into the log: emitting in the caller's transaction ({@link
 * dev.cortex.events.outbox.Outbox}) and taking archives in ({@link
 * dev.cortex.events.outbox.Importer}).
 *
 * <p>Read first: {@code Outbox}. Every entrance holds events to one set of rules, which {@code
 * docs/entrances.md} lists and a test runs. Nothing in here handles events.
 */
@NullMarked
package dev.cortex.events.outbox;

import org.jspecify.annotations.NullMarked;
