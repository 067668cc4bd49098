package dev.cortex.events.worker;

import dev.cortex.events.spool.Spool;
import java.time.Duration;
import java.util.Optional;
import java.util.Set;

/**
 * How a worker process is to be.
 *
 * @param name what it is called in the views; not unique, the process gets an id of its own
 * @param slots how many batches it runs at once, 1 to 1000; each takes a connection while it does
 * @param leases how many leased deliveries it runs at once, 1 to 1000, where it has leased
 *     handlers; each takes a connection when it begins and ends
 * @param gracePeriod how long {@code close} waits for batches to finish before it gives them back,
 *     at most a day
 * @param spool from which it delivers what waits for the database; one more connection
 * @param javaCode the names of the handlers that it has Java code for, whatever runs them; empty:
 *     all that it runs
 */
public record WorkerOptions(
    String name,
    int slots,
    int leases,
    Duration gracePeriod,
    Optional<Spool> spool,
    Optional<Set<String>> javaCode) {

  public WorkerOptions {
    if (name.isBlank() || name.length() > 200) {
      throw new IllegalArgumentException(
          "worker name must have 1 to 200 characters, was \"" + name + "\"");
    }
    if (slots < 1 || slots > 1000) {
      throw new IllegalArgumentException("slots must be 1 to 1000, was " + slots);
    }
    if (leases < 1 || leases > 1000) {
      throw new IllegalArgumentException("leases must be 1 to 1000, was " + leases);
    }
    if (gracePeriod.isNegative() || gracePeriod.compareTo(Duration.ofDays(1)) > 0) {
      throw new IllegalArgumentException("gracePeriod must be 0 to 1 day, was " + gracePeriod);
    }
  }

  /** Named for this host and process, with 4 slots, 8 leases and 30 seconds of grace. */
  public static WorkerOptions defaults() {
    return new WorkerOptions(
        ProcessName.here(), 4, 8, Duration.ofSeconds(30), Optional.empty(), Optional.empty());
  }

  /**
   * Called this in the views, 1 to 200 characters. Need not be unique.
   *
   * @throws IllegalArgumentException for a blank or a longer one
   */
  public WorkerOptions withName(String name) {
    return new WorkerOptions(name, slots, leases, gracePeriod, spool, javaCode);
  }

  /**
   * Runs so many batches at once, 1 to 1000; each takes a connection while it does.
   *
   * @throws IllegalArgumentException for any other number
   */
  public WorkerOptions withSlots(int slots) {
    return new WorkerOptions(name, slots, leases, gracePeriod, spool, javaCode);
  }

  /**
   * Runs so many leased deliveries at once, 1 to 1000.
   *
   * @throws IllegalArgumentException for any other number
   */
  public WorkerOptions withLeases(int leases) {
    return new WorkerOptions(name, slots, leases, gracePeriod, spool, javaCode);
  }

  /**
   * Waits so long for what runs when it is closed, 0 to a day, before it gives that back uncharged.
   *
   * @throws IllegalArgumentException for any other time
   */
  public WorkerOptions withGracePeriod(Duration gracePeriod) {
    return new WorkerOptions(name, slots, leases, gracePeriod, spool, javaCode);
  }

  /** Delivers what waits in this spool, too, over a connection of its own. */
  public WorkerOptions withSpool(Spool spool) {
    return new WorkerOptions(name, slots, leases, gracePeriod, Optional.of(spool), javaCode);
  }

  /**
   * Has Java code for the handlers of these names and programs for the others, so that an operator
   * who chooses between the two is told where there is no choice.
   */
  public WorkerOptions withJavaCode(Set<String> handlers) {
    return new WorkerOptions(
        name, slots, leases, gracePeriod, spool, Optional.of(Set.copyOf(handlers)));
  }
}
