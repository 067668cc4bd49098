package dev.cortex.events.outbox;

import java.io.FilterInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.function.LongConsumer;

/** A stream that says how many bytes are taken from it. */
final class CountedBytes extends FilterInputStream {
  private final LongConsumer taken;

  CountedBytes(InputStream in, LongConsumer taken) {
    super(in);
    this.taken = taken;
  }

  @Override
  public int read() throws IOException {
    int next = in.read();
    taken.accept(next < 0 ? 0 : 1);
    return next;
  }

  @Override
  public int read(byte[] target, int offset, int length) throws IOException {
    int read = in.read(target, offset, length);
    taken.accept(Math.max(read, 0));
    return read;
  }
}
