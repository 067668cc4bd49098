package dev.cortex.events.cli;

import dev.cortex.events.event.Defect;
import dev.cortex.events.event.InvalidEventException;
import java.io.BufferedInputStream;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.InputStream;
import java.util.Arrays;
import java.util.Optional;
import java.util.concurrent.ArrayBlockingQueue;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;

/**
 * The lines of a stream, read ahead by a thread of their own, so that whoever takes them can notice
 * a pause. A reader that is slower than the stream holds the stream up: what is read ahead is
 * bounded in lines and in bytes. A line that is longer than any envelope ends the reading, since it
 * may have no end.
 */
final class InputLines {
  private static final int LINES_AHEAD = 16;
  private static final byte[] BYTE_ORDER_MARK = {(byte) 0xEF, (byte) 0xBB, (byte) 0xBF};

  /** More than an envelope may have. */
  static final int MAX_LINE_BYTES = 33 * 1024 * 1024;

  /** One line of the greatest length, or many short ones. */
  private static final int BYTES_AHEAD = MAX_LINE_BYTES;

  /** What the stream gives. */
  sealed interface Line {}

  /** A line, counted from 1, without its end. */
  static final class Text implements Line {
    private final long number;
    private final byte[] bytes;

    private Text(long number, byte[] bytes) {
      this.number = number;
      this.bytes = bytes;
    }

    long number() {
      return number;
    }

    byte[] bytes() {
      return bytes;
    }

    boolean isBlank() {
      for (byte b : bytes) {
        if (b != ' ' && b != '\t' && b != '\r') {
          return false;
        }
      }
      return true;
    }
  }

  /** There is no more. */
  record End() implements Line {}

  /** There may be more, which cannot be read. */
  record Broken(Throwable error) implements Line {}

  private final InputStream in;
  private final BlockingQueue<Line> ahead = new ArrayBlockingQueue<>(LINES_AHEAD);
  private final Semaphore bytesAhead = new Semaphore(BYTES_AHEAD);

  private InputLines(InputStream in) {
    this.in = new BufferedInputStream(in, 64 * 1024);
  }

  static InputLines of(InputStream in) {
    InputLines lines = new InputLines(in);
    Thread reader = new Thread(lines::readAhead, "cortex-input");
    reader.setDaemon(true);
    reader.start();
    return lines;
  }

  /** The next line; empty when none has come within the time. */
  Optional<Line> next(long time, TimeUnit unit) throws InterruptedException {
    Optional<Line> next = Optional.ofNullable(ahead.poll(time, unit));
    if (next.isPresent() && next.get() instanceof Text text) {
      bytesAhead.release(text.bytes().length);
    }
    return next;
  }

  private void readAhead() {
    try {
      ahead.put(readAll());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
  }

  private Line readAll() throws InterruptedException {
    ByteArrayOutputStream line = new ByteArrayOutputStream();
    long number = 1;
    try {
      for (int next = in.read(); next >= 0; next = in.read()) {
        if (next == '\n') {
          put(text(number++, line));
          line.reset();
        } else if (line.size() < MAX_LINE_BYTES) {
          line.write(next);
        } else {
          return new Broken(tooLong(number));
        }
      }
      if (line.size() > 0) {
        put(text(number, line));
      }
    } catch (IOException | Error e) { // else nobody would learn that there comes no more
      return new Broken(e);
    }
    return new End();
  }

  private static Text text(long number, ByteArrayOutputStream line) {
    byte[] bytes = line.toByteArray();
    return new Text(number, number == 1 ? withoutMark(bytes) : bytes);
  }

  /** Without what some editors put before the first byte. */
  private static byte[] withoutMark(byte[] firstLine) {
    int mark = BYTE_ORDER_MARK.length;
    boolean isThere =
        firstLine.length >= mark && Arrays.equals(firstLine, 0, mark, BYTE_ORDER_MARK, 0, mark);
    return isThere ? Arrays.copyOfRange(firstLine, mark, firstLine.length) : firstLine;
  }

  private void put(Text line) throws InterruptedException {
    bytesAhead.acquire(line.bytes().length);
    ahead.put(line);
  }

  private static InvalidEventException tooLong(long number) {
    return new InvalidEventException(
        Defect.TOO_LARGE,
        "line " + number,
        "may have at most " + MAX_LINE_BYTES + " bytes; nothing is read from there on");
  }
}
