package dev.cortex.events.cli;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * SIGTERM and SIGINT as a request to end, instead of the JVM's own way, which would make the exit
 * status that of a failure: the first one asks, the second one insists. Closing gives the signals
 * back to whom they belonged.
 *
 * <p>Java has no other way to a signal than {@code sun.misc.Signal} (module jdk.unsupported), which
 * the compiler warns of without fail; so it is reached by name. Where it is not there, or the JVM
 * was told to leave signals alone (-Xrs), the process ends at once, and the database gives back
 * what it held.
 */
final class StopSignals implements AutoCloseable {
  private record Former(Object signal, Object handler) {}

  private final CountDownLatch asked = new CountDownLatch(1);
  private final Deque<Former> formers = new ArrayDeque<>();
  private int requests;
  private Runnable onFirst = () -> {};
  private Runnable onSecond = () -> {};

  private StopSignals() {}

  /** From now on. */
  static StopSignals listen() {
    StopSignals stop = new StopSignals();
    stop.take("TERM");
    stop.take("INT");
    return stop;
  }

  private void take(String name) {
    try {
      Class<?> handlerType = Class.forName("sun.misc.SignalHandler");
      Object handler =
          Proxy.newProxyInstance(
              handlerType.getClassLoader(),
              new Class<?>[] {handlerType},
              (proxy, method, arguments) -> answer(proxy, method, arguments));
      Object signal =
          Class.forName("sun.misc.Signal").getConstructor(String.class).newInstance(name);
      formers.push(new Former(signal, handle(signal, handler)));
    } catch (ReflectiveOperationException e) {
      // Then signals are the JVM's.
    }
  }

  private static Object handle(Object signal, Object handler) throws ReflectiveOperationException {
    Class<?> handlerType = Class.forName("sun.misc.SignalHandler");
    Method handle = signal.getClass().getMethod("handle", signal.getClass(), handlerType);
    return handle.invoke(null, signal, handler);
  }

  /** As a handler; what every object answers, it answers too. */
  private Object answer(Object proxy, Method method, Object[] arguments) {
    return switch (method.getName()) {
      case "equals" -> proxy == arguments[0];
      case "hashCode" -> System.identityHashCode(proxy);
      case "toString" -> "StopSignals";
      default -> {
        ask();
        yield 0;
      }
    };
  }

  /** As a signal does. */
  synchronized void ask() {
    requests++;
    if (requests == 1) {
      asked.countDown();
      onFirst.run();
    } else {
      onSecond.run();
    }
  }

  /** The end of a stream asks too; what is in it is passed over. */
  void listenForEndOf(InputStream in) {
    Thread watch =
        new Thread(
            () -> {
              try {
                in.transferTo(OutputStream.nullOutputStream());
              } catch (IOException e) {
                // An end as well.
              }
              ask();
            },
            "cortex-input-end");
    watch.setDaemon(true);
    watch.start();
  }

  /**
   * What the first one does besides; at once if it has come already. When this returns, the action
   * before is no longer under way.
   */
  synchronized void onFirst(Runnable action) {
    onFirst = action;
    if (requests >= 1) {
      action.run();
    }
  }

  /** What every further one does; at once if one has come already. */
  synchronized void onSecond(Runnable action) {
    onSecond = action;
    if (requests >= 2) {
      action.run();
    }
  }

  boolean isAsked() {
    return asked.getCount() == 0;
  }

  void awaitAsked() throws InterruptedException {
    asked.await();
  }

  /** False when the time is up. */
  boolean awaitAsked(long time, TimeUnit unit) throws InterruptedException {
    return asked.await(time, unit);
  }

  @Override
  public void close() {
    while (!formers.isEmpty()) {
      Former former = formers.pop();
      try {
        handle(former.signal(), former.handler());
      } catch (ReflectiveOperationException e) {
        throw new IllegalStateException("a signal that was taken can be given back", e);
      }
    }
  }
}
