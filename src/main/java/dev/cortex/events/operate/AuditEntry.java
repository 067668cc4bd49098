package dev.cortex.events.operate;

import java.time.Duration;
import java.time.Instant;
import java.util.Optional;

/**
 * One attempt of one delivery.
 *
 * @param type empty where retention has dropped the event
 * @param attempt from 1; 0: the delivery ended without one
 * @param outcome done, retry, snooze, dead, cancel, crash or expire
 * @param reason a word for machines
 * @param error what the handler, or the operator, said
 * @param worker the process that ran it; empty where none did
 */
public record AuditEntry(
    String eventId,
    Optional<String> type,
    String handler,
    int generation,
    int attempt,
    String outcome,
    Optional<String> reason,
    Optional<String> error,
    Optional<String> worker,
    Instant startedAt,
    Instant finishedAt) {

  /** How long it took. */
  public Duration duration() {
    return Duration.between(startedAt, finishedAt);
  }
}
