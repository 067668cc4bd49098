package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import java.util.Locale;
import java.util.Optional;

/**
 * What a security event says beside what it has found, which is counted by {@code
 * fleet.findings_of}.
 *
 * <p>The target is {@code payload.target} (or {@code repository}, {@code repo}, {@code project}),
 * else the event's source. The severity is in lower case.
 */
record SecurityFacts(Optional<String> scanId, String target, Optional<String> severity) {
  static SecurityFacts of(Event event) {
    Payload payload = Payload.of(event);
    return new SecurityFacts(
        payload.shortText("scan_id", "id"),
        payload.text("target", "repository", "repo", "project").orElse(event.source()),
        payload.shortText("severity").map(text -> text.toLowerCase(Locale.ROOT)));
  }
}
