package dev.cortex.events.operate;

import dev.cortex.events.event.Json;
import java.time.Instant;
import java.util.Optional;

/**
 * A line of the operators' log.
 *
 * @param databaseUser the login, not the role that it took
 * @param action retry, redrive, cancel, pause or resume
 * @param subject what it was done to, as JSON: event_id, handler, type
 * @param before how the subject stood, as JSON
 * @param after how it stood afterwards
 */
public record OperatorAction(
    long id,
    Instant actedAt,
    String databaseUser,
    String action,
    Json subject,
    String reason,
    Optional<String> before,
    Optional<String> after) {}
