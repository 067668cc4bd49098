package dev.cortex.events.schedule;

import java.time.Instant;

/**
 * One tick of a schedule that was fired.
 *
 * @param schedule the schedule's name
 * @param tick the moment by the schedule's own clock
 * @param firedAt when a worker got to it, by the database's clock
 * @param eventId public id of the event that was emitted
 */
public record Fire(String schedule, Instant tick, Instant firedAt, String eventId) {}
