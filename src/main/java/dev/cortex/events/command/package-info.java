/**
 * Handlers that are programs: one run of a program per event, without a shell, in an environment of
 * its own, and nothing that it has started outlives it. An ordinary leased handler, made of what
 * any user has; the worker knows nothing of programs.
 *
 * <p>Read first: {@link dev.cortex.events.command.CommandHandler}. {@link
 * dev.cortex.events.command.CommandDirectory} reads the handlers that an operator has laid out as
 * files.
 */
@NullMarked
package dev.cortex.events.command;

import org.jspecify.annotations.NullMarked;
