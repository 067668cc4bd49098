/**
 * The command line: {@code ./cortex …}. One class per verb, and no logic: what a verb does, a
 * user's code can do by the same public calls.
 *
 * <p>Read first: {@code Cortex}, which lists the verbs and opens the database that they are about.
 * Output goes to a {@code Console}, which a test replaces; every question has {@code --json}; the
 * exit status comes from the error's {@link dev.cortex.events.event.ErrorCode}.
 */
@NullMarked
package dev.cortex.events.cli;

import org.jspecify.annotations.NullMarked;
