package dev.cortex.events.worker;

import java.time.Duration;

/**
 * How a worker process is to be.
 *
 * @param name what it is called in the views; not unique, the process gets an id of its own
 * @param slots how many batches it runs at once, 1 to 1000; each takes a connection while it does
 * @param gracePeriod how long {@code close} waits for batches to finish before it gives them back,
 *     at most a day
 */
public record WorkerOptions(String name, int slots, Duration gracePeriod) {

  public WorkerOptions {
    if (name.isBlank() || name.length() > 200) {
      throw new IllegalArgumentException(
          "worker name must have 1 to 200 characters, was \"" + name + "\"");
    }
    if (slots < 1 || slots > 1000) {
      throw new IllegalArgumentException("slots must be 1 to 1000, was " + slots);
    }
    if (gracePeriod.isNegative() || gracePeriod.compareTo(Duration.ofDays(1)) > 0) {
      throw new IllegalArgumentException("gracePeriod must be 0 to 1 day, was " + gracePeriod);
    }
  }

  /** Named for this host and process, with 4 slots and 30 seconds of grace. */
  public static WorkerOptions defaults() {
    return new WorkerOptions(ProcessName.here(), 4, Duration.ofSeconds(30));
  }

  public WorkerOptions withName(String name) {
    return new WorkerOptions(name, slots, gracePeriod);
  }

  public WorkerOptions withSlots(int slots) {
    return new WorkerOptions(name, slots, gracePeriod);
  }

  public WorkerOptions withGracePeriod(Duration gracePeriod) {
    return new WorkerOptions(name, slots, gracePeriod);
  }
}
