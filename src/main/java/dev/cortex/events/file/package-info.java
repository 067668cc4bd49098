/**
 * Files that several processes of a host share, and that survive its crash: locks ({@link
 * dev.cortex.events.file.LockedFile}), and what is on the disk when a call returns ({@link
 * dev.cortex.events.file.DurableFiles}).
 *
 * <p>Read first: {@code LockedFile}, which says why nobody else may open a file that is locked.
 * What is in the files is their owners' business.
 */
@NullMarked
package dev.cortex.events.file;

import org.jspecify.annotations.NullMarked;
