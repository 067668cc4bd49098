/**
 * The daemons of a host: programs that an operator has laid out as files, kept running by a
 * supervisor each, and the daemons of the old system that are handlers now. What becomes of them is
 * told by events, and seen in {@code fleet.daemon_life}.
 *
 * <p>Read first: {@link dev.cortex.events.daemon.Supervisor}. Nothing in here starts a program
 * because an event says so: what may be started is in the operator's files on the host.
 */
@NullMarked
package dev.cortex.events.daemon;

import org.jspecify.annotations.NullMarked;
