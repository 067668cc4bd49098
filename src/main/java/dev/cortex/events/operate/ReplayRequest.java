package dev.cortex.events.operate;

import dev.cortex.events.event.Priority;
import java.time.LocalDate;
import java.util.Optional;

/**
 * Which events are to be replayed; what is absent does not restrict. Every {@code with} method
 * returns a changed copy.
 *
 * @param eventId one event; or
 * @param day those that happened on a day, in UTC
 * @param type a type, a family ({@code security.*}) or all ({@code *})
 * @param handler only to this one
 */
public record ReplayRequest(
    Optional<String> eventId,
    Optional<LocalDate> day,
    Optional<String> type,
    Optional<String> source,
    Optional<Priority> priority,
    Optional<String> correlationId,
    Optional<String> handler) {

  /** One event, by its public id. */
  public static ReplayRequest ofEvent(String eventId) {
    return new ReplayRequest(
        Optional.of(eventId),
        Optional.empty(),
        Optional.empty(),
        Optional.empty(),
        Optional.empty(),
        Optional.empty(),
        Optional.empty());
  }

  /** The events that happened on a day, in UTC. */
  public static ReplayRequest ofDay(LocalDate day) {
    return new ReplayRequest(
        Optional.empty(),
        Optional.of(day),
        Optional.empty(),
        Optional.empty(),
        Optional.empty(),
        Optional.empty(),
        Optional.empty());
  }

  /** Only of this type, family ({@code security.*}) or all ({@code *}). */
  public ReplayRequest withType(String type) {
    return new ReplayRequest(
        eventId, day, Optional.of(type), source, priority, correlationId, handler);
  }

  /** Only from this source. */
  public ReplayRequest withSource(String source) {
    return new ReplayRequest(
        eventId, day, type, Optional.of(source), priority, correlationId, handler);
  }

  /** Only of this priority, which says nothing of higher ones. */
  public ReplayRequest withPriority(Priority priority) {
    return new ReplayRequest(
        eventId, day, type, source, Optional.of(priority), correlationId, handler);
  }

  /** Only of this correlation. */
  public ReplayRequest withCorrelationId(String correlationId) {
    return new ReplayRequest(
        eventId, day, type, source, priority, Optional.of(correlationId), handler);
  }

  /** Only to this handler, of those that subscribe to the events. */
  public ReplayRequest withHandler(String handler) {
    return new ReplayRequest(
        eventId, day, type, source, priority, correlationId, Optional.of(handler));
  }
}
