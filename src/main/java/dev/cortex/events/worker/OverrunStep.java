package dev.cortex.events.worker;

import dev.cortex.events.telemetry.EngineEvent;
import dev.cortex.events.telemetry.Telemetry;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Consumer;

/**
 * Ends batches that overrun their time budget, and gives up the slots of those that do not end even
 * so. It needs no connection of its own, so that nothing that the database does can hold it up.
 * Confined to its loop's thread.
 */
final class OverrunStep implements Loop.Step {
  private static final Duration INTERVAL = Duration.ofMillis(100);

  /** What a handler has to end in whose connection was cut and whose thread was interrupted. */
  private static final Duration ENDING = Duration.ofSeconds(10);

  private final List<Slot> slots;
  private final Consumer<Slot> whenStuck;
  private final Telemetry telemetry;
  private final Map<Short, Ended> ended = new HashMap<>();

  /** A batch that was told to end, and when. */
  private record Ended(long startedNanos, long atNanos) {}

  /**
   * @param slots changed by others
   * @param whenStuck told of a slot whose thread does not come back
   */
  OverrunStep(List<Slot> slots, Consumer<Slot> whenStuck, Telemetry telemetry) {
    this.slots = slots;
    this.whenStuck = whenStuck;
    this.telemetry = telemetry;
  }

  @Override
  public Duration take() {
    endOverruns(System.nanoTime());
    return INTERVAL;
  }

  /**
   * Cuts the connection of a batch that runs longer than its handler may, which ends its
   * transaction on the server too; the handler sees its next statement fail, and is interrupted.
   */
  private void endOverruns(long now) {
    for (Slot slot : slots) {
      Optional<Slot.Running> overrun = slot.running().filter(running -> running.overruns(now));
      overrun.ifPresent(running -> endOrGiveUp(slot, running, now));
    }
  }

  private void endOrGiveUp(Slot slot, Slot.Running running, long now) {
    Ended before = ended.get(slot.number());
    if (before == null || before.startedNanos() != running.startedNanos()) {
      ended.put(slot.number(), new Ended(running.startedNanos(), now));
      end(running);
    } else if (now - before.atNanos() > ENDING.toNanos()) {
      telemetry.record(
          new EngineEvent.SlotLost(
              running.queue().name(), running.queue().definition().work().mode(), slot.number()));
      slot.giveUp();
      whenStuck.accept(slot);
    }
  }

  private void end(Slot.Running running) {
    running.queue().overran(running.deliveries());
    HandlerQueue queue = running.queue();
    telemetry.record(
        new EngineEvent.BatchOverran(
            queue.name(), queue.definition().work().mode(), running.deliveries().size()));
    running.abort();
    running.thread().interrupt();
  }
}
