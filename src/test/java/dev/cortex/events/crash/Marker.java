package dev.cortex.events.crash;

import java.io.IOException;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.stream.IntStream;

/**
 * Where each slot and each place for leases of a worker process is, and in which call of a handler,
 * in a mapped file: what a process wrote there is still to be read after it was killed, to the last
 * instruction.
 */
final class Marker {
  static final int SLOTS = 2;
  static final int LEASES = 2;
  private static final int PLACES_AT_ALL = SLOTS + LEASES;

  /** What the slots of a process have come to. */
  enum Place {
    /** No handler has been entered yet, or its batch is committed. */
    ELSEWHERE,
    /** In a handler, before its effect: it holds a batch. */
    IN_HANDLER,
    /** The effect is written; the acknowledgement and the commit are ahead, or their end is. */
    AFTER_EFFECT
  }

  /** The number of a place in the file is its index here. */
  private static final List<Place> PLACES =
      List.of(Place.ELSEWHERE, Place.IN_HANDLER, Place.AFTER_EFFECT);

  /** A slot's place and the number of the call, which the effects of the call carry too. */
  record Position(Place place, int call) {}

  private final MappedByteBuffer bytes;

  private Marker(MappedByteBuffer bytes) {
    this.bytes = bytes;
  }

  static Marker open(Path file) throws IOException {
    try (FileChannel channel =
        FileChannel.open(
            file, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
      return new Marker(
          channel.map(
              FileChannel.MapMode.READ_WRITE, 0, (long) (PLACES_AT_ALL + 1) * Integer.BYTES));
    }
  }

  /** One store of an aligned word: a reader sees the old position or the new one. */
  void set(int slot, Place place, int call) {
    bytes.putInt(slot * Integer.BYTES, call * PLACES.size() + PLACES.indexOf(place));
  }

  Position position(int slot) {
    int word = bytes.getInt(slot * Integer.BYTES);
    return new Position(PLACES.get(word % PLACES.size()), word / PLACES.size());
  }

  /** Whether a slot is there. */
  boolean holds(Place place) {
    return IntStream.range(0, SLOTS).anyMatch(slot -> position(slot).place() == place);
  }

  /** Whether every slot is there. */
  boolean holdsOnly(Place place) {
    return IntStream.range(0, SLOTS).allMatch(slot -> position(slot).place() == place);
  }

  /** Whether a leased handler runs and has not come to its end. */
  boolean isInLeasedHandler() {
    return IntStream.range(SLOTS, PLACES_AT_ALL)
        .anyMatch(slot -> position(slot).place() == Place.IN_HANDLER);
  }

  /** Whether a leased handler runs, or what it did is not acknowledged yet. */
  boolean holdsLease() {
    return IntStream.range(SLOTS, PLACES_AT_ALL)
        .anyMatch(slot -> position(slot).place() != Place.ELSEWHERE);
  }

  /** One more acknowledgement of a lost lease was refused. */
  synchronized void addRefusal() {
    bytes.putInt(PLACES_AT_ALL * Integer.BYTES, refusals() + 1);
  }

  int refusals() {
    return bytes.getInt(PLACES_AT_ALL * Integer.BYTES);
  }
}
