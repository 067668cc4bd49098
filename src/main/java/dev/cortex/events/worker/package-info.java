/**
 * The process that runs handlers: its slots, its loops, its shutdown, its reconnecting.
 *
 * <p>Read first: {@link dev.cortex.events.worker.Worker}, then {@code BatchRunner}, whose {@code
 * run} shows claim, handle, decide and record on one screen. Which deliveries there are, and every
 * statement on them, is the {@code delivery} package's.
 */
@NullMarked
package dev.cortex.events.worker;

import org.jspecify.annotations.NullMarked;
