package dev.cortex.events.crash;

import java.io.IOException;
import java.nio.MappedByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;

/**
 * How many events each emitter may have emitted by now, in a mapped file: so that events flow for
 * as long as there is something to kill, on a fast machine and on a slow one.
 */
final class Pace {
  private final MappedByteBuffer bytes;
  private final long parent = parent();

  private Pace(MappedByteBuffer bytes) {
    this.bytes = bytes;
  }

  static Pace open(Path file) throws IOException {
    try (FileChannel channel =
        FileChannel.open(
            file, StandardOpenOption.CREATE, StandardOpenOption.READ, StandardOpenOption.WRITE)) {
      return new Pace(channel.map(FileChannel.MapMode.READ_WRITE, 0, Integer.BYTES));
    }
  }

  void allow(int events) {
    bytes.putInt(0, events);
  }

  /**
   * Waits until an emitter that has emitted so many may go on.
   *
   * @throws IllegalStateException when whoever sets the pace is dead
   */
  void await(int emitted) {
    while (bytes.getInt(0) <= emitted) {
      if (parent() != parent) {
        throw new IllegalStateException("nobody sets the pace any more");
      }
      LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(2));
    }
  }

  /** Another one adopts a process whose parent dies. */
  private static long parent() {
    return ProcessHandle.current().parent().map(ProcessHandle::pid).orElse(0L);
  }
}
