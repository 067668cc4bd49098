package dev.cortex.events.worker;

import dev.cortex.events.telemetry.EngineEvent;
import dev.cortex.events.telemetry.Telemetry;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Ends batches that overrun their time budget. It needs no connection of its own, so that nothing
 * that the database does can hold it up. Confined to its loop's thread.
 */
final class OverrunStep implements Loop.Step {
  private static final Duration INTERVAL = Duration.ofMillis(100);

  private final List<Slot> slots;
  private final Telemetry telemetry;
  private final Map<Short, Long> ended = new HashMap<>();

  OverrunStep(List<Slot> slots, Telemetry telemetry) {
    this.slots = slots;
    this.telemetry = telemetry;
  }

  @Override
  public Duration take() {
    endOverruns(System.nanoTime());
    return INTERVAL;
  }

  /**
   * Cuts the connection of a batch that runs longer than its handler may, which ends its
   * transaction on the server too; the handler sees its next statement fail.
   */
  private void endOverruns(long now) {
    for (Slot slot : slots) {
      Optional<Slot.Running> overrun = slot.running().filter(running -> running.overruns(now));
      overrun.filter(running -> isNew(slot, running)).ifPresent(this::end);
    }
  }

  private boolean isNew(Slot slot, Slot.Running running) {
    Long before = ended.put(slot.number(), running.startedNanos());
    return before == null || before != running.startedNanos();
  }

  private void end(Slot.Running running) {
    running.queue().overran(running.deliveries());
    telemetry.record(
        new EngineEvent.BatchOverran(running.queue().name(), running.deliveries().size()));
    running.abort();
  }
}
