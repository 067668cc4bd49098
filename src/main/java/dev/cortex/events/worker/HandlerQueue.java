package dev.cortex.events.worker;

import dev.cortex.events.delivery.Delivery;
import dev.cortex.events.delivery.Lanes;
import dev.cortex.events.delivery.LowWaterMarks;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.HandlerDefinition.Leased;
import java.util.List;
import java.util.Optional;

/**
 * One handler's queue as this process sees it: the definition, and what the process remembers of
 * the queue. Whether it is due, and who works it, is the dispatcher's to know. An ordered handler
 * has two: its lanes, and lane 0 for events without a key.
 */
final class HandlerQueue {
  private final HandlerDefinition definition;
  private final short handlerId;
  private final Optional<Lanes> lanes;
  private final LowWaterMarks marks = new LowWaterMarks();
  private final BatchSize batchSize;
  private final Strikes strikes = new Strikes();

  /** Lane 0, where nothing has an order. */
  HandlerQueue(HandlerDefinition definition, short handlerId) {
    this(definition, handlerId, Optional.empty());
  }

  /** The lanes of an ordered handler. */
  static HandlerQueue ordered(HandlerDefinition definition, short handlerId, int lanes) {
    return new HandlerQueue(definition, handlerId, Optional.of(new Lanes(lanes)));
  }

  private HandlerQueue(HandlerDefinition definition, short handlerId, Optional<Lanes> lanes) {
    this.definition = definition;
    this.handlerId = handlerId;
    this.lanes = lanes;
    this.batchSize = new BatchSize(definition.maxBatch());
  }

  String name() {
    return definition.name();
  }

  HandlerDefinition definition() {
    return definition;
  }

  /** Whether a delivery has waited for longer than the policy lets it. */
  boolean isTooOld(Delivery delivery) {
    return definition.retry().isTooOld(delivery.age());
  }

  /** Whether its deliveries are leased rather than handled in a transaction. */
  boolean isLeased() {
    return definition.work() instanceof Leased;
  }

  short handlerId() {
    return handlerId;
  }

  /** Of an ordered queue; it does not use the marks. */
  Optional<Lanes> lanes() {
    return lanes;
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
      strikes.add(deliveries.get(0), Strikes.Charge.TIME_BUDGET);
    } else {
      batchSize.clashed(definition.timeBudget());
    }
  }

  Strikes strikes() {
    return strikes;
  }
}
