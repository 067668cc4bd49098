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
 * @param whenDead of an ordered handler: hold or skip, what becomes of a dead letter's key
 * @param implementation what runs it where a worker has both: java or program
 * @param maxRunning how many run at once in the whole cluster, by an operator's word or else by
 *     what the code declares; empty: no limit
 * @param declaredRunning what the code declares; empty: no limit
 * @param isLimitedByOperator whether an operator's word counts, and what the code declares does not
 * @param pausedAt since when nothing is claimed for it
 * @param patterns what it subscribes to, sorted; none while it is retiring
 * @param retiring drain or discard; empty: it stays
 * @param retiredAt since when it is out of service
 * @param formerNames what it was called before, the oldest first
 */
public record HandlerStatus(
    String name,
    String mode,
    int lanes,
    String whenDead,
    String implementation,
    int maxAttempts,
    Duration timeBudget,
    Optional<Integer> maxRunning,
    Optional<Integer> declaredRunning,
    boolean isLimitedByOperator,
    Optional<Instant> pausedAt,
    Instant registeredAt,
    List<String> patterns,
    Optional<String> retiring,
    Optional<Instant> retiredAt,
    List<String> formerNames) {

  public HandlerStatus {
    patterns = List.copyOf(patterns);
    formerNames = List.copyOf(formerNames);
  }
}
