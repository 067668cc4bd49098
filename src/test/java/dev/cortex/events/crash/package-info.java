/**
 * What is promised when something dies, tried on real processes: {@link ChaosTest} strikes workers
 * and the server at random under a load of every kind, {@link DatabaseCrashTest} the server, {@link
 * SigtermTest} asks workers to end, {@link PickUpTest} measures how soon another worker goes on,
 * {@link LeaseCrashTest} kills and stops those that hold leases, {@link KillerEventTest} has events
 * kill whoever runs them. {@link CrashEvent} says what is emitted and what it brings about, {@link
 * CrashAudit} asks the one statement that holds the database against what was written down outside
 * of it; {@link CrashAuditTest} damages a database in every way that the statement is to find.
 */
@NullMarked
package dev.cortex.events.crash;

import org.jspecify.annotations.NullMarked;
