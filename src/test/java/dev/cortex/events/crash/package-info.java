/**
 * What is promised when something dies, tried on real processes: {@link CrashTest} kills workers,
 * {@link DatabaseCrashTest} the server, {@link SigtermTest} asks workers to end, {@link PickUpTest}
 * measures how soon another worker goes on, {@link LeaseCrashTest} kills and stops those that hold
 * leases. {@link CrashAudit} is the one query that holds the database against what was written down
 * outside of it; {@link CrashAuditTest} damages a database in every way that the query is to find.
 */
@NullMarked
package dev.cortex.events.crash;

import org.jspecify.annotations.NullMarked;
