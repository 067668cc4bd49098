/**
 * Measures the engine beside the server's own limit and beside peers, in one run. Ratios carry over
 * to other machines, rates do not.
 *
 * <p>Read first: {@link dev.cortex.events.bench.Benchmark} for what is measured, then {@code Race}
 * for how, and {@code Bars} for what is to be reached. Each workload is a class, or a line of
 * {@code RaceWorkload}. Workers and peers are processes that obey lines ({@code ToldProcess}); the
 * peers lie in bench/, apart from the product.
 *
 * <p>Nothing in here is needed to run the engine, and it uses only what any user can.
 */
@NullMarked
package dev.cortex.events.bench;

import org.jspecify.annotations.NullMarked;
