package dev.cortex.events.demo;

import dev.cortex.events.fleet.SampleArchive;
import dev.cortex.events.outbox.ImportSummary;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;

/**
 * What became of a run, by the database's views against the ledger kept outside of it.
 *
 * @param imported what became of the sample archive
 * @param handlers what became of the deliveries, by handler
 * @param events what became of the events
 * @param effects what became of the counted handler's effects
 * @param killed the worker that was killed, and amid what
 * @param workersEndedInOrder every other worker ended with status 0
 * @param alerts what was told of silent workers
 * @param chores what else was asked for
 * @param duration of the whole
 * @param logs where the workers' logs are
 */
public record DemoResult(
    ImportSummary imported,
    List<HandlerTally> handlers,
    EventTally events,
    EffectTally effects,
    Kill killed,
    boolean workersEndedInOrder,
    AlertTally alerts,
    ChoreTally chores,
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

  /**
   * A kill with SIGKILL.
   *
   * @param worker whom
   * @param deliveries what it was in the middle of
   */
  public record Kill(String worker, long deliveries) {}

  /**
   * The alerts about silent workers. It takes one that seems silent for one: on a machine that
   * stands still for a while more workers than the one that falls silent may be told of.
   *
   * @param ids public ids of the alerts, in order
   * @param silences how often a worker fell silent
   * @param untold silences without an alert
   * @param repeated alerts of a silence that was told of already, or that never was
   */
  public record AlertTally(List<String> ids, long silences, long untold, long repeated) {
    public AlertTally {
      ids = List.copyOf(ids);
    }
  }

  /**
   * What was asked for once, or twice where once is promised.
   *
   * @param learningCycles that have run
   * @param cleanups that have completed
   */
  public record ChoreTally(long learningCycles, long cleanups) {}

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

  /** Attempts that failed and were tried again. */
  public long retried() {
    return handlers.stream().mapToLong(HandlerTally::retried).sum();
  }

  /** Whether everything is as it was promised. */
  public boolean isAsPromised() {
    return broken().isEmpty();
  }

  /** Each promise that was not kept, in a few words. */
  public List<String> broken() {
    List<String> broken = new ArrayList<>();
    tell(broken, lost() > 0, "lost: " + lost());
    tell(broken, duplicated() > 0, "duplicated: " + duplicated());
    tell(broken, stuck() > 0, "stuck: " + stuck());
    tell(broken, retried() == 0, "nothing was retried");
    tell(broken, killed.deliveries() == 0, "the worker that was killed was idle");
    tell(broken, !workersEndedInOrder, "a worker did not end in order");
    tell(broken, alerts.silences() == 0, "no worker fell silent");
    tell(broken, alerts.untold() > 0, "silent workers without an alert: " + alerts.untold());
    tell(broken, alerts.repeated() > 0, "alerts too many: " + alerts.repeated());
    tell(broken, chores.learningCycles() != 1, "learning cycles: " + chores.learningCycles());
    tell(broken, chores.cleanups() != 1, "clean-ups: " + chores.cleanups());
    tell(
        broken,
        imported.read() != SampleArchive.EVENTS + SampleArchive.DEFECTS
            || imported.quarantinedInAll() > SampleArchive.DEFECTS,
        "the sample archive was not imported as a whole");
    return broken;
  }

  private static void tell(List<String> broken, boolean isBroken, String promise) {
    if (isBroken) {
      broken.add(promise);
    }
  }
}
