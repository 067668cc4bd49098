package dev.cortex.events.cli;

import dev.cortex.events.outbox.ImportProgress;
import dev.cortex.events.outbox.ImportSummary;
import java.time.Duration;
import java.util.Locale;

/** One line that a person sees grow: how much is read, and how long the rest takes at this pace. */
final class ImportBar implements ImportProgress, AutoCloseable {
  private static final int WIDTH = 24;
  private static final long BETWEEN_NANOS = Duration.ofMillis(200).toNanos();

  private final Console console;
  private final long start = System.nanoTime();
  private long drawn = start - BETWEEN_NANOS;
  private boolean isThere;

  ImportBar(Console console) {
    this.console = console;
  }

  @Override
  public void advanced(long bytesRead, long bytesInAll, ImportSummary soFar) {
    long now = System.nanoTime();
    if (!console.isTerminal() || now - drawn < BETWEEN_NANOS) {
      return;
    }
    drawn = now;
    isThere = true;
    console.err().print("\r" + line(bytesRead, bytesInAll, soFar.read(), now - start) + " ");
    console.err().flush();
  }

  static String line(long bytesRead, long bytesInAll, long documents, long nanos) {
    double part = bytesInAll == 0 ? 1 : Math.min(1, (double) bytesRead / bytesInAll);
    int full = (int) (part * WIDTH);
    long left = part == 0 ? 0 : Math.round(nanos / part * (1 - part) / 1e9);
    return String.format(
        Locale.ROOT,
        "[%s%s] %3d %%  %,d read  %d:%02d left",
        "#".repeat(full),
        ".".repeat(WIDTH - full),
        (int) (part * 100),
        documents,
        left / 60,
        left % 60);
  }

  @Override
  public void close() {
    if (isThere) {
      console.err().println();
      console.err().flush();
    }
  }
}
