package dev.cortex.events.outbox;

/** Told of how an import gets on, after each batch; on the importing thread. */
@FunctionalInterface
public interface ImportProgress {
  /**
   * How far it is.
   *
   * @param bytesRead of all files, as they lie on the disk, compressed or not
   * @param bytesInAll likewise
   * @param soFar what became of what is read and written
   */
  void advanced(long bytesRead, long bytesInAll, ImportSummary soFar);

  /** For whom nobody waits. */
  static ImportProgress untold() {
    return (bytesRead, bytesInAll, soFar) -> {};
  }
}
