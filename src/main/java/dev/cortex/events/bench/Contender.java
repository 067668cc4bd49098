package dev.cortex.events.bench;

import java.time.Duration;
import java.util.Optional;

/** Somebody whose work is timed: the engine, the server's own limit, or a peer. */
interface Contender extends AutoCloseable {
  String name();

  /** Lays out the work; not timed. */
  void prepare(int events) throws Exception;

  /** Does the work; timed. */
  void run(int events) throws Exception;

  /** The processor time of its own processes so far; empty when it works in this one. */
  default Optional<Duration> processorTime() {
    return Optional.empty();
  }

  @Override
  default void close() {}
}
