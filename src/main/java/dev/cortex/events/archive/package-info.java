/**
 * Retention: what is older than it is kept is written to files and taken out of the database.
 *
 * <p>Read first: {@code Archive}, then {@code ArchiveRun}, which has the order of the steps that
 * makes a run safe to be killed. Bringing archived events back is an import, in {@code outbox}.
 */
@NullMarked
package dev.cortex.events.archive;

import org.jspecify.annotations.NullMarked;
