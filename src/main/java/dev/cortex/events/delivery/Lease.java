package dev.cortex.events.delivery;

import dev.cortex.events.event.Json;
import java.time.Duration;
import java.util.OptionalInt;
import java.util.OptionalLong;

/**
 * A delivery that was leased, or that has died of losing its leases.
 *
 * @param delivery the delivery; locked by no transaction, so its {@code tid} is of no use and its
 *     {@code lockedAt} is when the lease began
 * @param holder who leased it, and for how long at a time
 * @param fence the number of this lease, above that of every earlier one; empty where the delivery
 *     is dead now, since its last attempt ended with a lost lease
 * @param lostBy the worker that lost the lease before this one, where one did: an attempt was
 *     charged for that
 * @param extensions what the event has beside the fields of an event
 */
public record Lease(
    Delivery delivery, Holder holder, OptionalLong fence, OptionalInt lostBy, Json extensions) {

  /**
   * Who holds leases.
   *
   * @param workerId the worker
   * @param length from when a lease is taken or renewed to when somebody else may have the delivery
   */
  public record Holder(int workerId, Duration length) {}

  /** What a renewal did to a lease. */
  public enum Renewal {
    /** It ends later now. */
    RENEWED,
    /** It is not this worker's any more: cancelled, or leased by somebody else. */
    GONE,
    /** Somebody has locked the delivery at this moment; the lease ends when it would have. */
    LOCKED
  }

  /** Whether it may run. */
  public boolean isHeld() {
    return fence.isPresent();
  }

  /** The fence of a lease that is held. */
  public long heldFence() {
    return fence.orElseThrow();
  }
}
