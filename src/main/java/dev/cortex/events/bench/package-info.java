/**
 * Measures the engine beside the server's own limit, in one run: emitting beside the same table
 * without a trigger, draining beside one statement that moves the same rows. Ratios carry over to
 * other machines, rates do not.
 *
 * <p>Read first: {@link dev.cortex.events.bench.Benchmark}. Nothing in here is needed to run the
 * engine, and it uses only what any user can.
 */
@NullMarked
package dev.cortex.events.bench;

import org.jspecify.annotations.NullMarked;
