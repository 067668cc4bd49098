package dev.cortex.events.operate;

import java.time.Instant;
import java.util.Optional;

/**
 * Which part of the log a handler is to get, and how fast. Every {@code with} method returns a
 * changed copy.
 *
 * @param since events received then or later; empty: from the beginning
 * @param until events received before then; empty: before now
 * @param rate deliveries made per second, at most; 1 to 10,000
 * @param imported also events that an import only recorded
 */
public record BackfillRequest(
    Optional<Instant> since, Optional<Instant> until, int rate, boolean imported) {

  private static final BackfillRequest EVERYTHING =
      new BackfillRequest(Optional.empty(), Optional.empty(), 100, false);

  /** All of the log until now, but for what was only imported, at 100 a second. */
  public static BackfillRequest everything() {
    return EVERYTHING;
  }

  /** Only events received then or later, by the server's clock. */
  public BackfillRequest withSince(Instant since) {
    return new BackfillRequest(Optional.of(since), until, rate, imported);
  }

  /** Only events received before then, by the server's clock. */
  public BackfillRequest withUntil(Instant until) {
    return new BackfillRequest(since, Optional.of(until), rate, imported);
  }

  /**
   * At most so many deliveries a second, 1 to 10,000; anything else is refused when the back-fill
   * is asked for.
   */
  public BackfillRequest withRate(int rate) {
    return new BackfillRequest(since, until, rate, imported);
  }

  /** Whether also events that an import only recorded; unless said, not those. */
  public BackfillRequest withImported(boolean imported) {
    return new BackfillRequest(since, until, rate, imported);
  }
}
