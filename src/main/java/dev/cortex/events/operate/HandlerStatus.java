package dev.cortex.events.operate;

import java.time.Duration;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/**
 * A handler as the database knows it.
 *
 * @param mode transactional, batch or leased
 * @param lanes 0: unordered; else over how many lanes its keys are spread
 * @param pausedAt since when nothing is claimed for it
 * @param patterns what it subscribes to, sorted
 */
public record HandlerStatus(
    String name,
    String mode,
    int lanes,
    int maxAttempts,
    Duration timeBudget,
    Optional<Instant> pausedAt,
    Instant registeredAt,
    List<String> patterns) {

  public HandlerStatus {
    patterns = List.copyOf(patterns);
  }
}
