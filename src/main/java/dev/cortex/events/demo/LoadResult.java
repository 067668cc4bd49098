package dev.cortex.events.demo;

import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * What became of a load test.
 *
 * @param before whether the event system was active
 * @param after whether it is still
 * @param emitted events that the simulated workers have committed
 * @param logged how many of them are in the log
 * @param handlers what became of their deliveries, by handler
 * @param emitting how long was emitted
 * @param handling until the last delivery was finished
 * @param isDrained whether it was
 */
public record LoadResult(
    Observability before,
    Observability after,
    long emitted,
    long logged,
    List<Tally> handlers,
    Duration emitting,
    Duration handling,
    boolean isDrained) {

  public LoadResult {
    handlers = List.copyOf(handlers);
  }

  /**
   * One handler's deliveries, and how long they took from the receipt of the event to the end of
   * the attempt that was done.
   *
   * @param delivered how many there had to be, by its subscriptions
   * @param handled done
   * @param cancelled ended without being done, on purpose
   * @param retried attempts that failed and were tried again
   * @param dead failed for the last time
   * @param lost there is no trace of them
   * @param duplicated done more than once
   * @param open not finished
   */
  public record Tally(
      String handler,
      long delivered,
      long handled,
      long cancelled,
      long retried,
      long dead,
      long lost,
      long duplicated,
      long open,
      double p50Ms,
      double p95Ms,
      double p99Ms,
      double maxMs) {}

  static LoadResult inactive(Observability before) {
    return new LoadResult(before, before, 0, 0, List.of(), Duration.ZERO, Duration.ZERO, false);
  }

  /** Events per second while the fleet was at work. */
  public double emittedPerSecond() {
    return perSecond(emitted, emitting);
  }

  /** Deliveries per second, until the last one was finished. */
  public double handledPerSecond() {
    return perSecond(handlers.stream().mapToLong(Tally::handled).sum(), handling);
  }

  private static double perSecond(long count, Duration time) {
    return time.isZero() ? 0 : count * 1e9 / time.toNanos();
  }

  /** What is not as it should be; empty when all is well. */
  public List<String> broken() {
    List<String> broken = new ArrayList<>();
    if (!before.isActive()) {
      broken.add("the event system was not active");
      return broken;
    }
    if (!after.isActive()) {
      broken.add("the event system is not active any more");
    }
    if (after.reported().filter(active -> !active).isPresent()) {
      broken.add("the observability check answers that the event system is not active");
    }
    if (emitted == 0) {
      broken.add("nothing was emitted");
    }
    if (logged != emitted) {
      broken.add((emitted - logged) + " events are not in the log");
    }
    if (handlers.isEmpty()) {
      broken.add("no handler has subscribed to what was emitted");
    }
    for (Tally tally : handlers) {
      note(broken, tally.handler(), tally.lost(), "lost");
      note(broken, tally.handler(), tally.duplicated(), "done twice");
      note(broken, tally.handler(), tally.dead(), "dead");
      note(broken, tally.handler(), tally.open(), "not finished");
    }
    return broken;
  }

  private static void note(List<String> broken, String handler, long count, String what) {
    if (count > 0) {
      broken.add(handler + ": " + count + " " + what);
    }
  }
}
