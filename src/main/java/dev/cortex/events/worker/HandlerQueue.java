package dev.cortex.events.worker;

import dev.cortex.events.delivery.Delivery;
import dev.cortex.events.delivery.LowWaterMarks;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.HandlerDefinition.Leased;
import java.util.List;

/**
 * One handler's queue as this process sees it: the definition, and what the process remembers of
 * the queue. Whether it is due, and who works it, is the dispatcher's to know.
 */
final class HandlerQueue {
  private final HandlerDefinition definition;
  private final short handlerId;
  private final LowWaterMarks marks = new LowWaterMarks();
  private final BatchSize batchSize;
  private final Strikes strikes = new Strikes();

  HandlerQueue(HandlerDefinition definition, short handlerId) {
    this.definition = definition;
    this.handlerId = handlerId;
    this.batchSize = new BatchSize(definition.maxBatch());
  }

  String name() {
    return definition.name();
  }

  HandlerDefinition definition() {
    return definition;
  }

  /** Whether its deliveries are leased rather than handled in a transaction. */
  boolean isLeased() {
    return definition.work() instanceof Leased;
  }

  short handlerId() {
    return handlerId;
  }

  LowWaterMarks marks() {
    return marks;
  }

  BatchSize batchSize() {
    return batchSize;
  }

  /** A batch took longer than it may: the next one is smaller, and a single event is charged. */
  void overran(List<Delivery> deliveries) {
    if (deliveries.size() == 1) {
      strikes.overran(deliveries.get(0));
    } else {
      batchSize.clashed(definition.timeBudget());
    }
  }

  Strikes strikes() {
    return strikes;
  }
}
