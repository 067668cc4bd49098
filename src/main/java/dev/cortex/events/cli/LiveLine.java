package dev.cortex.events.cli;

import java.time.Duration;

/**
 * How something stands: on a terminal one line that is written over as the figures change, below
 * the lines of what has happened. Elsewhere such a line is printed every two seconds.
 */
final class LiveLine {
  private static final String ERASE_LINE = "\r\u001b[2K";
  private static final long PLAIN_EVERY_MS = 2_000;

  private final Console console;
  private boolean isShown;
  private long toldMs = -PLAIN_EVERY_MS;

  LiveLine(Console console) {
    this.console = console;
  }

  /** Something has happened. */
  void step(String text) {
    erase();
    console.print("• " + text);
    console.out().flush();
  }

  void show(Duration elapsed, String line) {
    if (console.isTerminal()) {
      console.out().print(ERASE_LINE + line);
      isShown = true;
    } else if (elapsed.toMillis() - toldMs >= PLAIN_EVERY_MS) {
      toldMs = elapsed.toMillis();
      console.print(line);
    }
    console.out().flush();
  }

  void erase() {
    if (isShown) {
      console.out().print(ERASE_LINE);
      isShown = false;
    }
  }
}
