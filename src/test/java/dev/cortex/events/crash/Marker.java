package dev.cortex.events.crash;

import java.io.IOException;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;

/**
 * Where each slot of a worker process is, in a mapped file: what a process wrote there is still to
 * be read after it was killed, to the last instruction.
 */
final class Marker {
  static final int SLOTS = 2;

  /** No handler has been entered yet, or its batch is behind it. */
  static final byte ELSEWHERE = 0;

  /** In a handler, before its effect. */
  static final byte IN_HANDLER = 1;

  /**
   * In a handler or in the commit: the effect is written and not committed, as far as one can tell.
   */
  static final byte AFTER_EFFECT = 2;

  private final MappedByteBuffer bytes;

  private Marker(MappedByteBuffer bytes) {
    this.bytes = bytes;
  }

  static Marker open(Path file) throws IOException {
    try (FileChannel channel =
        FileChannel.open(
            file, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
      return new Marker(channel.map(FileChannel.MapMode.READ_WRITE, 0, SLOTS));
    }
  }

  void set(int slot, byte place) {
    bytes.put(slot, place);
  }

  byte place(int slot) {
    return bytes.get(slot);
  }

  boolean holds(byte place) {
    for (int slot = 0; slot < SLOTS; slot++) {
      if (place(slot) == place) {
        return true;
      }
    }
    return false;
  }
}
