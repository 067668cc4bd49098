package dev.cortex.events.demo;

import java.util.Optional;

/**
 * Whether the event system is active, by what the database shows of a system.observability_check.
 *
 * @param eventId the check's
 * @param workers worker processes that live
 * @param deliveries of the check: how many handlers have to answer it
 * @param answered how many of them are done
 * @param recentEvents received within the last five minutes
 * @param reported what was answered, where a handler of the fleet did: whether there are events of
 *     others within its window; none yet, before a load test on an idle system
 * @param answerMs from the receipt of the check to the end of its last handler
 */
public record Observability(
    String eventId,
    long workers,
    long deliveries,
    long answered,
    long recentEvents,
    Optional<Boolean> reported,
    Optional<Long> answerMs) {

  /** Somebody works, and whoever has to answer has. */
  public boolean isActive() {
    return workers > 0 && deliveries > 0 && answered == deliveries && recentEvents > 0;
  }

  /** By what one can tell. */
  public String evidence() {
    return eventId
        + ": "
        + recentEvents
        + " events in the last 5 minutes, "
        + workers
        + " worker processes, "
        + answered
        + " of "
        + deliveries
        + " handlers have answered"
        + answerMs.map(ms -> " within " + ms + " ms").orElse("")
        + reported.map(active -> active ? ": active" : ": not active yet").orElse("");
  }
}
