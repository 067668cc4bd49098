/**
 * The front door of Cortex Events: connect, emit, register handlers, run a worker.
 *
 * <p>Read first: {@code CortexEvents}. Everything behind it lives in the packages below, one noun
 * of the domain each; this package only wires them together.
 */
@NullMarked
package dev.cortex.events;

import org.jspecify.annotations.NullMarked;
