package dev.cortex.events.operate;

import dev.cortex.events.event.Priority;
import java.time.Instant;
import java.util.Optional;

/**
 * The queue of one handler and priority. Counts end at {@link #MORE}, so that a backlog of millions
 * is as quickly asked about as a small one.
 *
 * @param available due and not seen running
 * @param scheduled due later, never attempted
 * @param running what workers are at, where that takes long enough to be seen
 * @param retrying due later, after a failure
 * @param held of paused types
 * @param dead dead letters
 * @param oldestDue since when the oldest claimable delivery has been due
 */
public record QueueStatus(
    String handler,
    Priority priority,
    boolean paused,
    long available,
    long scheduled,
    long running,
    long retrying,
    long held,
    long dead,
    Optional<Instant> oldestDue) {

  /** A count that stands for "more than 10,000". */
  public static final long MORE = 10_001;
}
