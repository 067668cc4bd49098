package dev.cortex.events.delivery;

import java.util.List;

/**
 * What a claim in a lane returned.
 *
 * @param deliveries by number, maybe none
 * @param scannedTo the lane's new mark
 * @param lookedAt the new mark in its blocked keys, in PostgreSQL's words
 */
public record LaneClaim(List<Delivery> deliveries, long scannedTo, String lookedAt) {
  public LaneClaim {
    deliveries = List.copyOf(deliveries);
  }
}
