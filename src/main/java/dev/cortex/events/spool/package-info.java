/**
 * Events kept in files while the database is away: posting, which is durable by itself ({@link
 * dev.cortex.events.spool.Postbox}), and the directory in which events wait ({@link
 * dev.cortex.events.spool.Spool}), written by Java, the command line and shell scripts alike.
 *
 * <p>Read first: {@code Postbox}, then {@code SpoolLine} for the form of a file. What is emitted in
 * a caller's transaction never comes here: with that transaction it fails or holds.
 */
@NullMarked
package dev.cortex.events.spool;

import org.jspecify.annotations.NullMarked;
