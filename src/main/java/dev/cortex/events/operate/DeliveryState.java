package dev.cortex.events.operate;

import java.util.Locale;

/** The state of a delivery, as users see it. */
public enum DeliveryState {
  /** Not due yet, never attempted. */
  SCHEDULED,
  /** Due. Also what a batch runs that is too short to be seen. */
  AVAILABLE,
  /** A worker is at it. */
  RUNNING,
  /** Failed before, due again later. */
  RETRYING,
  /** Its type is paused. */
  HELD,
  /** Failed for the last time: the dead letter. */
  DEAD,
  COMPLETED,
  CANCELLED,
  /** Grew older than it may. */
  EXPIRED,
  /** Ended while the question was being answered. */
  FINISHED,
  /** There is an attempt and no delivery, and the attempt was not the last one. */
  UNKNOWN;

  /** The word for it in SQL, JSON and on the command line, such as {@code available}. */
  public String label() {
    return name().toLowerCase(Locale.ROOT);
  }

  static DeliveryState of(String label) {
    return valueOf(label.toUpperCase(Locale.ROOT));
  }
}
