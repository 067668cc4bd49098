/**
 * What the author of a handler sees: the three shapes of a handler ({@link
 * dev.cortex.events.handler.EventHandler}, {@link dev.cortex.events.handler.BatchHandler} and
 * {@link dev.cortex.events.handler.LeasedHandler}), its definition, its context, the outcome of an
 * attempt and the retry policy.
 *
 * <p>Read first: {@code HandlerDefinition}. Nothing in here runs a handler; that is the worker's.
 */
@NullMarked
package dev.cortex.events.handler;

import org.jspecify.annotations.NullMarked;
