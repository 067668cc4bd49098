package dev.cortex.events.delivery;

import dev.cortex.events.event.Event;
import dev.cortex.events.event.Priority;
import java.time.Duration;
import java.time.Instant;
import java.util.Optional;

/**
 * One event for one handler, as a claim locked it.
 *
 * @param tid where the row lies; only of use inside the transaction that locked it, since another
 *     row may lie there afterwards
 * @param lockedAt when, by the server's clock, the transaction that locked it began; no other
 *     transaction of its connection began then
 * @param handlerId the handler
 * @param lane 0 where it has no order
 * @param priority its place in the index
 * @param runAt when it became due; microseconds, part of its identity until it is settled
 * @param number the event's number in the log
 * @param generation 0 for the original delivery, n for the n-th replay
 * @param attempt attempts charged so far
 * @param event the event; empty where retention has dropped it
 * @param hold what has to hold for its turn to be still its turn; empty in lane 0
 */
public record Delivery(
    String tid,
    Instant lockedAt,
    short handlerId,
    short lane,
    Priority priority,
    Instant runAt,
    long number,
    short generation,
    int attempt,
    Optional<Event> event,
    Optional<LaneHold> hold) {

  /** A delivery of lane 0. */
  public Delivery(
      String tid,
      Instant lockedAt,
      short handlerId,
      short lane,
      Priority priority,
      Instant runAt,
      long number,
      short generation,
      int attempt,
      Optional<Event> event) {
    this(
        tid,
        lockedAt,
        handlerId,
        lane,
        priority,
        runAt,
        number,
        generation,
        attempt,
        event,
        Optional.empty());
  }

  /** The same delivery, locked again at another place. */
  Delivery lockedAgain(String tid, Instant lockedAt) {
    return new Delivery(
        tid, lockedAt, handlerId, lane, priority, runAt, number, generation, attempt, event, hold);
  }

  /** The same delivery, as it was claimed in a lane. */
  Delivery inLane(short lane, LaneHold hold) {
    return new Delivery(
        tid,
        lockedAt,
        handlerId,
        lane,
        priority,
        runAt,
        number,
        generation,
        attempt,
        event,
        Optional.of(hold));
  }

  /** How long ago its event was received when it was locked; both by the server's clock. */
  public Duration age() {
    return event.map(known -> Duration.between(known.receivedAt(), lockedAt)).orElse(Duration.ZERO);
  }

  /** Whether it waits for others of its key, and others for it. */
  public boolean isOrdered() {
    return hold.isPresent();
  }

  Mark mark() {
    return Mark.at(runAt, number);
  }
}
