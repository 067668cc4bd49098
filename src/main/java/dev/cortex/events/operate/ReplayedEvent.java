package dev.cortex.events.operate;

import java.time.Instant;
import java.util.List;

/**
 * An event that is replayed, with one delivery per handler that subscribes to it now.
 *
 * @param deliveries empty where no handler does
 * @param number of the event in the log
 */
public record ReplayedEvent(
    String eventId, String type, List<Delivery> deliveries, long number, Instant receivedAt) {

  /**
   * One of its deliveries.
   *
   * @param generation from 1: how often the event was replayed to the handler, with this time
   */
  public record Delivery(String handler, int generation) {}

  public ReplayedEvent {
    deliveries = List.copyOf(deliveries);
  }
}
