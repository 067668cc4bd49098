package dev.cortex.events.delivery;

import java.time.Duration;

/**
 * When a lease ends that nobody renews.
 *
 * @param handlerId whose delivery is leased
 * @param left how long the lease lasts, by the server's clock; not positive: it has ended
 * @param window where the delivery lies by then
 */
public record LeaseEnd(short handlerId, Duration left, ClaimWindow window) {

  /** Whether somebody else may have the delivery. */
  public boolean isLost() {
    return left.isNegative() || left.isZero();
  }
}
