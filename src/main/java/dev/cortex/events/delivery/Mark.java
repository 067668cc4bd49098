package dev.cortex.events.delivery;

import java.time.Instant;

/**
 * A place in the order in which the deliveries of one handler, lane and priority are claimed: due
 * time, then event number. Both count, since one COPY gives a million rows the same due time.
 *
 * @param micros microseconds since 1970; the least and greatest long stand for the infinities
 * @param number the event's number
 */
record Mark(long micros, long number) implements Comparable<Mark> {

  static final Mark BEGINNING = new Mark(Long.MIN_VALUE, 0);
  static final Mark END = new Mark(Long.MAX_VALUE, 0);

  static Mark at(Instant runAt, long number) {
    return new Mark(micros(runAt), number);
  }

  static long micros(Instant moment) {
    return Math.addExact(
        Math.multiplyExact(moment.getEpochSecond(), 1_000_000L), moment.getNano() / 1_000);
  }

  /** The place right behind this one: the first that a claim from here on may return. */
  Mark next() {
    return new Mark(micros, number + 1);
  }

  /** The due time in PostgreSQL's words. */
  String runAtText() {
    if (micros == Long.MIN_VALUE) {
      return "-infinity";
    }
    if (micros == Long.MAX_VALUE) {
      return "infinity";
    }
    return Instant.ofEpochSecond(
            Math.floorDiv(micros, 1_000_000L), Math.floorMod(micros, 1_000_000L) * 1_000)
        .toString();
  }

  @Override
  public int compareTo(Mark other) {
    return micros != other.micros
        ? Long.compare(micros, other.micros)
        : Long.compare(number, other.number);
  }
}
