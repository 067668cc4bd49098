package dev.cortex.events.worker;

import dev.cortex.events.telemetry.Telemetry;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.CopyOnWriteArrayList;
import java.util.function.Function;
import java.util.function.IntFunction;

/**
 * The places of one kind at which a worker's threads work, numbered from 1. One whose thread is
 * lost in a handler that does not return is followed by another one, with a number of its own.
 * Threads cannot be ended, so there is an end to this too.
 *
 * <p>Thread-safe, but that one thread at a time may {@link #replace}.
 */
final class Places<P> {
  /** So many times over, places are replaced whose threads are lost. */
  private static final int MAX_REPLACEMENTS = 8;

  private record Worked<P>(P place, Loop loop) {}

  private final String name;
  private final int size;
  private final IntFunction<P> maker;
  private final Function<P, Loop.Step> work;
  private final Telemetry telemetry;
  private final List<P> all = new CopyOnWriteArrayList<>();
  private final List<Worked<P>> worked = new CopyOnWriteArrayList<>();
  private volatile boolean isStopped;

  /**
   * @param name of the threads, with the number behind it
   * @param maker makes a place of this number
   * @param work what is done at a place, again and again
   */
  Places(
      String name,
      int size,
      IntFunction<P> maker,
      Function<P, Loop.Step> work,
      Telemetry telemetry) {
    this.name = name;
    this.size = size;
    this.maker = maker;
    this.work = work;
    this.telemetry = telemetry;
    for (int i = 0; i < size; i++) {
      add();
    }
  }

  private Loop add() {
    int number = all.size() + 1;
    P place = maker.apply(number);
    Loop loop = new Loop(name + "-" + number, work.apply(place), telemetry);
    all.add(place);
    worked.add(new Worked<>(place, loop));
    return loop;
  }

  /** All that there have been, lost ones too, as it changes. */
  List<P> all() {
    return Collections.unmodifiableList(all);
  }

  /** The threads that are not lost. */
  List<Loop> loops() {
    List<Loop> loops = new ArrayList<>();
    worked.forEach(one -> loops.add(one.loop()));
    return loops;
  }

  /** The place that this thread works, unless it is lost. */
  Optional<P> of(Thread thread) {
    return worked.stream().filter(one -> one.loop().isOf(thread)).map(Worked::place).findFirst();
  }

  void start() {
    loops().forEach(Loop::start);
  }

  /** Lets the steps in progress be the last. */
  void stop() {
    isStopped = true;
    loops().forEach(Loop::stop);
  }

  /** Another place instead of one whose thread does not come back. */
  void replace(P lost) {
    worked.stream().filter(one -> one.place() == lost).forEach(one -> one.loop().giveUp());
    worked.removeIf(one -> one.place() == lost);
    if (all.size() < size * (1 + MAX_REPLACEMENTS) && !isStopped) {
      add().start();
    }
  }
}
