package dev.cortex.events.cli;

import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicInteger;
import sun.misc.Signal;
import sun.misc.SignalHandler;

/**
 * SIGTERM and SIGINT as a request to end, instead of the JVM's own way, which would make the exit
 * status that of a failure: the first one asks, the second one insists. Closing gives the signals
 * back to whom they belonged.
 */
@SuppressWarnings("sunapi")
final class StopSignals implements AutoCloseable {
  private record Former(Signal signal, SignalHandler handler) {}

  private final CountDownLatch asked = new CountDownLatch(1);
  private final AtomicInteger signals = new AtomicInteger();
  private final Deque<Former> formers = new ArrayDeque<>();
  private volatile Runnable onFirst = () -> {};
  private volatile Runnable onSecond = () -> {};

  /** From now on. */
  static StopSignals listen() {
    StopSignals stop = new StopSignals();
    stop.take("TERM");
    stop.take("INT");
    return stop;
  }

  private void take(String name) {
    Signal signal = new Signal(name);
    try {
      formers.push(new Former(signal, Signal.handle(signal, received -> receive())));
    } catch (IllegalArgumentException e) {
      // The JVM was told to leave signals alone (-Xrs): it ends at once, and the database gives back.
    }
  }

  private void receive() {
    if (signals.incrementAndGet() == 1) {
      asked.countDown();
      onFirst.run();
    } else {
      onSecond.run();
    }
  }

  /** What the first one does besides; nothing any more if it has come. */
  void onFirst(Runnable action) {
    onFirst = action;
  }

  /** What every further one does. */
  void onSecond(Runnable action) {
    onSecond = action;
  }

  boolean isAsked() {
    return asked.getCount() == 0;
  }

  void awaitAsked() throws InterruptedException {
    asked.await();
  }

  boolean awaitAsked(long time, TimeUnit unit) throws InterruptedException {
    return asked.await(time, unit);
  }

  @Override
  public void close() {
    while (!formers.isEmpty()) {
      Former former = formers.pop();
      Signal.handle(former.signal(), former.handler());
    }
  }
}
