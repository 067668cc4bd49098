package dev.cortex.events.operate;

import dev.cortex.events.event.Priority;
import java.time.Instant;
import java.util.Optional;

/**
 * Which events of the log are meant; what is absent does not restrict. Every {@code with} method
 * returns a changed copy.
 *
 * @param type a type, a family ({@code security.*}) or all ({@code *})
 * @param since received then or later; a late one reads few of the log's partitions
 * @param until received before then
 */
public record EventFilter(
    Optional<String> type,
    Optional<String> source,
    Optional<String> correlationId,
    Optional<Priority> priority,
    Optional<Instant> since,
    Optional<Instant> until) {

  private static final EventFilter ALL =
      new EventFilter(
          Optional.empty(),
          Optional.empty(),
          Optional.empty(),
          Optional.empty(),
          Optional.empty(),
          Optional.empty());

  /** Every event. */
  public static EventFilter all() {
    return ALL;
  }

  /** Only of this type, family ({@code security.*}) or all ({@code *}). */
  public EventFilter withType(String type) {
    return new EventFilter(Optional.of(type), source, correlationId, priority, since, until);
  }

  /** Only from this source. */
  public EventFilter withSource(String source) {
    return new EventFilter(type, Optional.of(source), correlationId, priority, since, until);
  }

  /** Only of this correlation. */
  public EventFilter withCorrelationId(String correlationId) {
    return new EventFilter(type, source, Optional.of(correlationId), priority, since, until);
  }

  /** Only of this priority, which says nothing of higher ones. */
  public EventFilter withPriority(Priority priority) {
    return new EventFilter(type, source, correlationId, Optional.of(priority), since, until);
  }

  /** Only what was received then or later, by the server's clock. */
  public EventFilter withSince(Instant since) {
    return new EventFilter(type, source, correlationId, priority, Optional.of(since), until);
  }

  /** Only what was received before then, by the server's clock. */
  public EventFilter withUntil(Instant until) {
    return new EventFilter(type, source, correlationId, priority, since, Optional.of(until));
  }
}
