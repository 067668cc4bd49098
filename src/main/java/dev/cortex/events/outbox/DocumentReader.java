package dev.cortex.events.outbox;

import java.io.Closeable;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.Optional;
import java.util.zip.ZipException;

/**
 * Cuts a stream of bytes into documents, wherever their line breaks are: several on one line, one
 * over several lines. Holds one document at a time, and of one that is too large its first
 * mebibyte.
 *
 * <p>A broken document costs only itself: reading goes on at the next line that starts with a
 * brace, also where such a line has been read as part of it. Damage to a compressed file ends the
 * stream early and is kept for {@link #damaged}.
 *
 * <p>For one thread. Closing it closes the stream.
 */
final class DocumentReader implements Closeable {
  private static final int PIECE_BYTES = 64 * 1024;
  private static final int NONE = -1;
  private static final int[] BYTE_ORDER_MARK = {0xEF, 0xBB, 0xBF};

  private final InputStream in;
  private final int maxBytes;
  private final MessageDigest digest = Quarantine.sha256();

  /** The bytes from the document's start (or what of it is still held) to those read ahead. */
  private byte[] window = new byte[PIECE_BYTES];

  private int start;
  private int position;
  private int limit;
  private boolean begun;
  private boolean damaged;

  private long line = 1;

  /** Of a document that is too large: what is no longer held. */
  private long dropped;

  private long linesDropped;
  private byte[] head = new byte[0];

  DocumentReader(InputStream in, int maxBytes) {
    this.in = in;
    this.maxBytes = maxBytes;
  }

  /** The next document; empty at the end of the stream. */
  Optional<Document> next() throws IOException {
    if (!begun) {
      begun = true;
      skipByteOrderMark();
    }
    skipSpace();
    if (peek() == NONE) {
      return Optional.empty();
    }
    if (peek() == '{' || peek() == '[') {
      readDocument();
    } else {
      readJunk();
    }
    return Optional.of(take());
  }

  /** Whether the stream ended early because its compression is damaged. */
  boolean damaged() {
    return damaged;
  }

  private void skipSpace() throws IOException {
    while (isSpace(peek())) {
      position++;
      forget();
    }
  }

  /** Some editors put it before the first byte. */
  private void skipByteOrderMark() throws IOException {
    for (int expected : BYTE_ORDER_MARK) {
      if (peek() != expected) {
        position = start; // not a whole mark: its bytes are junk like any other
        return;
      }
      position++;
    }
    forget();
  }

  private static boolean isSpace(int next) {
    return next == ' ' || next == '\t' || next == '\r' || next == '\n';
  }

  private void readJunk() throws IOException {
    while (peek() != NONE && peek() != '\n' && peek() != '{') {
      position++;
      dropWhatIsTooMuch();
    }
  }

  private void readDocument() throws IOException {
    JsonOutline outline = new JsonOutline();
    int nextStart = NONE;
    boolean lineStart = false;
    while (peek() != NONE) {
      if (lineStart && peek() == '{' && nextStart == NONE) {
        nextStart = position - start;
      }
      JsonOutline.Step step = outline.accept(peek());
      if (step == JsonOutline.Step.BROKEN) {
        break;
      }
      lineStart = peek() == '\n';
      position++;
      if (step == JsonOutline.Step.END) {
        return;
      }
      nextStart = dropWhatIsTooMuch() ? NONE : nextStart;
    }
    resume(nextStart, lineStart);
  }

  /** Goes to the line where the next document starts: back, where it has been passed. */
  private void resume(int nextStart, boolean atLineStart) throws IOException {
    if (nextStart != NONE) {
      position = start + nextStart;
      return;
    }
    boolean lineStart = atLineStart;
    while (peek() != NONE && !(lineStart && peek() == '{')) {
      lineStart = peek() == '\n';
      position++;
      dropWhatIsTooMuch();
    }
  }

  private Document take() {
    byte[] held = Arrays.copyOfRange(window, start, endWithoutSpace());
    digest.update(held);
    Document document =
        new Document(line, dropped > 0 ? head : held, dropped + held.length, digest.digest());
    line += linesDropped;
    linesDropped = 0;
    dropped = 0;
    forget();
    return document;
  }

  private int endWithoutSpace() {
    int end = position;
    while (end > start && isSpace(window[end - 1])) {
      end--;
    }
    return end;
  }

  /** Drops what is held of a document that has grown too large; true when it did. */
  private boolean dropWhatIsTooMuch() {
    if (position - start < maxBytes) {
      return false;
    }
    if (dropped == 0) {
      head =
          Arrays.copyOfRange(window, start, start + Math.min(maxBytes - 1, Quarantine.KEPT_BYTES));
    }
    digest.update(window, start, position - start);
    dropped += position - start;
    linesDropped += newLines();
    start = position;
    return true;
  }

  private void forget() {
    line += newLines();
    start = position;
  }

  private long newLines() {
    long count = 0;
    for (int i = start; i < position; i++) {
      count += window[i] == '\n' ? 1 : 0;
    }
    return count;
  }

  /** The byte at the position, or NONE at the end. */
  private int peek() throws IOException {
    if (position == limit) {
      fill();
    }
    return position == limit ? NONE : window[position] & 0xFF;
  }

  private void fill() throws IOException {
    if (damaged) {
      return;
    }
    if (start > 0) {
      System.arraycopy(window, start, window, 0, limit - start);
      position -= start;
      limit -= start;
      start = 0;
    }
    if (limit == window.length) {
      window = Arrays.copyOf(window, 2 * window.length);
    }
    try {
      int read = in.read(window, limit, window.length - limit);
      limit += Math.max(read, 0);
    } catch (EOFException | ZipException e) {
      damaged = true;
    }
  }

  @Override
  public void close() throws IOException {
    in.close();
  }
}
