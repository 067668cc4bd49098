/**
 * What is done with a simulated fleet. The demo shows the main job on it: events are emitted, two
 * worker processes handle them, one of them is killed, and afterwards the database is asked whether
 * anything was lost or doubled. The load test lets such a fleet work on an installation as it is.
 *
 * <p>Read first: {@link dev.cortex.events.demo.Demo}, which goes through the acts in order, and
 * {@link dev.cortex.events.demo.LoadTest}. Both use what any user can use. How they look is the
 * command line's; nothing in here prints.
 */
@NullMarked
package dev.cortex.events.demo;

import org.jspecify.annotations.NullMarked;
