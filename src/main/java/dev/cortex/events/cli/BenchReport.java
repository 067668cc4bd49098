package dev.cortex.events.cli;

import dev.cortex.events.bench.Bar;
import dev.cortex.events.bench.BenchResult;
import dev.cortex.events.bench.Cost;
import dev.cortex.events.bench.Figure;
import dev.cortex.events.bench.Series;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/** A benchmark's result as one JSON document, with the names that its tables have. */
final class BenchReport {
  private BenchReport() {}

  static String json(BenchResult result) {
    Map<String, Object> document = new LinkedHashMap<>();
    document.put("conditions", result.conditions());
    document.put("figures", result.figures().stream().map(BenchReport::members).toList());
    document.put("bars", result.bars().stream().map(BenchReport::members).toList());
    document.put("series", result.series().stream().map(BenchReport::members).toList());
    return Report.json(document);
  }

  private static Map<String, @Nullable Object> members(Figure figure) {
    Map<String, @Nullable Object> members = new LinkedHashMap<>();
    members.put("workload", figure.workload());
    members.put("contender", figure.contender());
    members.put("value", figure.value());
    members.put("unit", figure.unit());
    members.put("server_us", figure.cost().flatMap(Cost::serverMicros).orElse(null));
    members.put("worker_us", figure.cost().flatMap(Cost::workerMicros).orElse(null));
    members.put("wal_bytes", figure.cost().map(Cost::walBytes).orElse(null));
    members.put("dead_rows", figure.cost().map(Cost::deadTuples).orElse(null));
    return members;
  }

  private static Map<String, @Nullable Object> members(Bar bar) {
    Map<String, @Nullable Object> members = new LinkedHashMap<>();
    members.put("to_reach", bar.demand());
    members.put(bar.isCeiling() ? "at_most" : "at_least", bar.limit());
    members.put("figure", bar.figure().orElse(null));
    members.put("reached", bar.isReached().orElse(null));
    return members;
  }

  private static Map<String, Object> members(Series series) {
    return Map.of("name", series.name(), "per_second", series.perSecond());
  }

  /** As precise as a measurement is: whole from a hundred on, else two places. */
  static Number rounded(double value) {
    return value >= 100 ? (Number) Math.round(value) : (Number) (Math.round(value * 100) / 100.0);
  }
}
