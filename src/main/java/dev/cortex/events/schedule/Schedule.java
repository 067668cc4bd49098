package dev.cortex.events.schedule;

import java.time.Instant;
import java.util.Optional;

/**
 * A schedule as the database holds it.
 *
 * @param name unique in the database
 * @param cron five fields: minute, hour, day of month, month, day of week
 * @param zone the name of the time zone that the expression is about
 * @param type of the events that it emits
 * @param isEnabled false: it does not fire
 * @param catchUp what becomes of ticks that nobody was there to fire
 * @param lastFire what it fired last
 * @param nextTick when it fires next; empty when it never does
 * @param problem why it cannot fire, in words
 */
public record Schedule(
    String name,
    String cron,
    String zone,
    String type,
    boolean isEnabled,
    CatchUp catchUp,
    Optional<Fire> lastFire,
    Optional<Instant> nextTick,
    Optional<String> problem) {}
