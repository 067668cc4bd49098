package dev.cortex.events.outbox;

/** One piece of an archive: a JSON document, or what stands where one should. */
final class Document {
  private final long line;
  private final byte[] bytes;
  private final long size;
  private final byte[] digest;

  /**
   * A document.
   *
   * @param line the line on which it starts, from 1
   * @param bytes its bytes, not copied; of one that is too large to be an event, the first ones
   * @param size how many bytes it has
   * @param digest SHA-256 of all of them, not copied
   */
  Document(long line, byte[] bytes, long size, byte[] digest) {
    this.line = line;
    this.bytes = bytes;
    this.size = size;
    this.digest = digest;
  }

  long line() {
    return line;
  }

  byte[] bytes() {
    return bytes;
  }

  long size() {
    return size;
  }

  byte[] digest() {
    return digest;
  }

  /** Whether it looks like an object, rather than a list or something that is no JSON. */
  boolean isObject() {
    return bytes.length > 0 && bytes[0] == '{';
  }

  /** Whether it was too large to be held. */
  boolean isCut() {
    return bytes.length < size;
  }
}
