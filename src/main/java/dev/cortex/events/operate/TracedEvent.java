package dev.cortex.events.operate;

import java.time.Instant;
import java.util.List;
import java.util.Optional;

/**
 * One event of a trace. The list that it stands in is in the order in which a tree is drawn: each
 * event comes after its cause and one deeper.
 *
 * @param depth 0: its cause is not in the trace, or it has none
 */
public record TracedEvent(
    int depth,
    String eventId,
    String type,
    String source,
    Instant occurredAt,
    Optional<String> causationId,
    Optional<String> correlationId,
    List<TracedDelivery> deliveries) {

  /** How one of its deliveries stands. */
  public record TracedDelivery(String handler, int generation, DeliveryState state, int attempts) {}

  public TracedEvent {
    deliveries = List.copyOf(deliveries);
  }
}
