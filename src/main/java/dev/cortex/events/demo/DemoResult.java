package dev.cortex.events.demo;

import dev.cortex.events.outbox.ImportSummary;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;

/**
 * What became of a run, by the database's views against the ledger kept outside of it.
 *
 * @param imported what became of the sample archive
 * @param handlers what became of the deliveries, by handler
 * @param events what became of the events
 * @param effects what became of the counted handler's effects
 * @param killed the worker that was killed
 * @param workersEndedInOrder every other worker ended with status 0
 * @param alertId the alert about the silent worker; empty where there is none
 * @param duration of the whole
 * @param logs where the workers' logs are
 */
public record DemoResult(
    ImportSummary imported,
    List<HandlerTally> handlers,
    EventTally events,
    EffectTally effects,
    String killed,
    boolean workersEndedInOrder,
    String alertId,
    Duration duration,
    Path logs) {

  /**
   * A handler's deliveries.
   *
   * @param delivered how many there had to be: the events that it subscribes to
   * @param handled done
   * @param retried attempts that failed and were tried again
   * @param cancelled ended without being done, on purpose
   * @param dead failed for the last time
   * @param lost there is no trace of them
   * @param duplicated done more than once
   * @param stuck not finished
   * @param medianMs from the receipt of the event to the end of the attempt that was done
   */
  public record HandlerTally(
      String handler,
      long delivered,
      long handled,
      long retried,
      long cancelled,
      long dead,
      long lost,
      long duplicated,
      long stuck,
      long medianMs) {}

  /**
   * The events.
   *
   * @param emitted committed by the simulated fleet, by the ledger
   * @param caused emitted by handlers and schedules meanwhile
   * @param rolledBack emitted in transactions that were rolled back, by the ledger
   * @param lost committed and not in the log
   * @param risen rolled back and in the log all the same
   */
  public record EventTally(long emitted, long caused, long rolledBack, long lost, long risen) {}

  /**
   * The effects of {@link DemoHandlers}.
   *
   * @param made rows
   * @param missing done deliveries without one
   * @param doubled more than one of an event, or one of a delivery that is not done
   */
  public record EffectTally(long made, long missing, long doubled) {}

  public DemoResult {
    handlers = List.copyOf(handlers);
  }

  /** Events, deliveries and effects that were lost. */
  public long lost() {
    return events.lost()
        + effects.missing()
        + handlers.stream().mapToLong(HandlerTally::lost).sum();
  }

  /** Events, deliveries and effects that there are too many of. */
  public long duplicated() {
    return events.risen()
        + effects.doubled()
        + handlers.stream().mapToLong(HandlerTally::duplicated).sum();
  }

  /** Deliveries that were not finished. */
  public long stuck() {
    return handlers.stream().mapToLong(HandlerTally::stuck).sum();
  }

  /** Whether everything is as it was promised. */
  public boolean isAsPromised() {
    return lost() == 0
        && duplicated() == 0
        && stuck() == 0
        && workersEndedInOrder
        && !alertId.isEmpty();
  }
}
