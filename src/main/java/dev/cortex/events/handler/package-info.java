/**
 * What the author of a handler sees: the two shapes of a handler ({@link
 * dev.cortex.events.handler.EventHandler} and {@link dev.cortex.events.handler.BatchHandler}), its
 * definition, its context, the outcome of an attempt and the retry policy.
 *
 * <p>Read first: {@code HandlerDefinition}. Nothing in here runs a handler; that is the worker's.
 */
@NullMarked
package dev.cortex.events.handler;

import org.jspecify.annotations.NullMarked;
