package dev.cortex.events.bench;

import dev.cortex.events.bench.ServerMeter.Reading;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;

/**
 * Lets contenders do the same work in turn, round after round, so that a machine that slows down
 * slows all of them. Each warms up before, uncounted; the round with the median time counts.
 */
final class Race {
  private record Lap(double seconds, Cost cost) {}

  private final ServerMeter meter;
  private final int rounds;

  Race(ServerMeter meter, int rounds) {
    this.meter = meter;
    this.rounds = rounds;
  }

  /** Runs the race and closes the contenders. */
  void run(String workload, List<Contender> contenders, int events, Results results)
      throws Exception {
    try {
      List<List<Lap>> laps = new ArrayList<>();
      for (Contender contender : contenders) {
        laps.add(new ArrayList<>());
        contender.prepare(Math.max(1, events / 2));
        contender.run(Math.max(1, events / 2));
      }
      for (int round = 0; round < rounds; round++) {
        for (int i = 0; i < contenders.size(); i++) {
          laps.get(i).add(lap(contenders.get(i), events));
        }
      }
      for (int i = 0; i < contenders.size(); i++) {
        Lap lap = median(laps.get(i));
        results.add(
            new Figure(
                workload,
                contenders.get(i).name(),
                events / lap.seconds(),
                Figure.RATE,
                Optional.of(lap.cost())));
      }
    } finally {
      contenders.forEach(Contender::close);
    }
  }

  private Lap lap(Contender contender, int events) throws Exception {
    contender.prepare(events);
    Optional<Duration> workerBefore = contender.processorTime();
    Reading before = meter.read();
    long start = System.nanoTime();
    contender.run(events);
    double seconds = (System.nanoTime() - start) / 1e9;
    Reading after = meter.read();
    return new Lap(seconds, cost(before, after, workerBefore, contender.processorTime(), events));
  }

  /** What lies between two readings, per event. */
  static Cost cost(
      Reading before,
      Reading after,
      Optional<Duration> workerBefore,
      Optional<Duration> workerAfter,
      double events) {
    return new Cost(
        micros(before.processorTime(), after.processorTime(), events),
        micros(workerBefore, workerAfter, events),
        (after.walBytes() - before.walBytes()) / events,
        Math.max(0, after.deadTuples() - before.deadTuples()));
  }

  private static Optional<Double> micros(
      Optional<Duration> before, Optional<Duration> after, double events) {
    return before.flatMap(
        earlier -> after.map(later -> later.minus(earlier).toNanos() / 1e3 / events));
  }

  private static Lap median(List<Lap> laps) {
    return laps.stream()
        .sorted(Comparator.comparingDouble(Lap::seconds))
        .toList()
        .get(laps.size() / 2);
  }
}
