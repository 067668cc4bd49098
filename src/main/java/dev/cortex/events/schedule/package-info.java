/**
 * Events emitted by the clock: schedules with a cron expression and a time zone, each tick fired
 * once by any number of processes.
 *
 * <p>Read first: {@link dev.cortex.events.schedule.Timekeeper}, which fires what is due. Who calls
 * it, and when, is the worker's to know; nothing in here waits or has a clock of its own.
 */
@NullMarked
package dev.cortex.events.schedule;

import org.jspecify.annotations.NullMarked;
