/**
 * The main job, shown on a simulated fleet: events are emitted, two worker processes handle them,
 * one of them is killed, and afterwards the database is asked whether anything was lost or doubled.
 *
 * <p>Read first: {@link dev.cortex.events.demo.Demo}, which goes through the acts in order. It uses
 * what any user can use. How it looks is the command line's; nothing in here prints.
 */
@NullMarked
package dev.cortex.events.demo;

import org.jspecify.annotations.NullMarked;
