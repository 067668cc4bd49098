package dev.cortex.events.bench;

import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/** Every figure that the engine is to reach, as a ratio within one run. */
final class Bars {
  private static final String OURS = "cortex";
  private static final String FLOOR = "floor";

  private final Results results;

  private Bars(Results results) {
    this.results = results;
  }

  static List<Bar> of(Results results) {
    return new Bars(results).all();
  }

  private List<Bar> all() {
    return List.of(
        atLeast(2, "drain, no-op: the fastest peer", toFastestPeer("drain-noop")),
        atLeast(12, "drain, no-op: db-scheduler", ratio("drain-noop", OURS, "db-scheduler")),
        atLeast(5, "drain, one INSERT: gruelbox", ratio("drain-insert", OURS, "gruelbox")),
        atLeast(1, "drain, one INSERT: the fastest peer", toFastestPeer("drain-insert")),
        atLeast(0.5, "drain, batch handler: the floor", ratio("drain-batch", OURS, FLOOR)),
        atLeast(0.75, "emit, one row a commit: the floor", ratio("emit-single", OURS, FLOOR)),
        atLeast(0.5, "emit, 1,000 rows an INSERT: the floor", ratio("emit-bulk", OURS, FLOOR)),
        atLeast(0.8, "hot rows: 2 processes to 1", twoToOne("hot-rows")),
        atMost(0, "hot rows: attempts burnt", results.value("hot-rows", "attempts burnt")),
        atMost(3, "commit to handler start, p50 ms", results.value("latency", "p50")),
        atMost(10, "commit to handler start, p99 ms", results.value("latency", "p99")),
        atMost(
            3,
            "commit to handler start, 3 processes, p50 ms",
            results.value("latency-3-processes", "p50")),
        atMost(
            10,
            "commit to handler start, 3 processes, p99 ms",
            results.value("latency-3-processes", "p99")),
        atMost(
            1.2,
            "claim with backlog and history: an almost empty queue",
            ratio("backlog", "claim of 100, backlog and history", "claim of 100, queue of 1,000")),
        atLeast(
            0.9, "snapshot held: not held", ratio("snapshot", "cortex, snapshot held", "cortex")),
        atLeast(0.85, "2 processes to 1, no-op", twoToOne("two-processes")),
        atLeast(1.7, "2 processes to 1, 2 ms wait", twoToOne("two-processes-wait")));
  }

  private static Bar atLeast(double limit, String demand, Optional<Double> figure) {
    return new Bar(demand, limit, figure, false);
  }

  private static Bar atMost(double limit, String demand, Optional<Double> figure) {
    return new Bar(demand, limit, figure, true);
  }

  private Optional<Double> ratio(String workload, String one, String other) {
    return results
        .value(workload, one)
        .flatMap(value -> results.value(workload, other).map(base -> value / base));
  }

  private Optional<Double> twoToOne(String workload) {
    return ratio(workload, "2 processes", "1 process");
  }

  private Optional<Double> toFastestPeer(String workload) {
    return results.figures().stream()
        .filter(figure -> figure.workload().equals(workload))
        .filter(figure -> Stream.of(OURS, FLOOR).noneMatch(figure.contender()::equals))
        .map(Figure::value)
        .max(Double::compare)
        .flatMap(fastest -> results.value(workload, OURS).map(ours -> ours / fastest));
  }
}
