/**
 * Files that several processes of a host share, and that survive its crash: locks ({@link
 * dev.cortex.events.file.LockedFile}), what is on the disk when a call returns ({@link
 * dev.cortex.events.file.DurableFiles}), and whose a file is ({@link
 * dev.cortex.events.file.FileOwner}).
 *
 * <p>Read first: {@code LockedFile}, which says why nobody else may open a file that is locked.
 * What is in the files is their owners' business.
 */
@NullMarked
package dev.cortex.events.file;

import org.jspecify.annotations.NullMarked;
