package dev.cortex.events.bench;

/** Turns work into a rate. */
final class Stopwatch {
  /** What is timed. */
  @FunctionalInterface
  interface Work {
    void run() throws Exception;
  }

  private Stopwatch() {}

  static double perSecond(int events, Work work) throws Exception {
    long start = System.nanoTime();
    work.run();
    double seconds = (System.nanoTime() - start) / 1e9;
    return events / seconds;
  }
}
