package dev.cortex.events.bench;

import dev.cortex.events.database.DatabaseAddress;
import java.lang.management.ManagementFactory;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Consumer;

/**
 * Runs workloads one after another on a migrated database that holds no events yet, and compares
 * what they measured with what is to be reached.
 */
public final class Benchmark {
  private static final List<Workload> WORKLOADS =
      List.of(
          RaceWorkload.emitSingle(),
          RaceWorkload.emitBulk(),
          RaceWorkload.drainNoOp(),
          RaceWorkload.drainInsert(),
          RaceWorkload.drainBatch(),
          new HotRows(),
          RaceWorkload.twoProcesses(),
          RaceWorkload.twoProcessesWaiting(),
          WakeUpLatency.oneProcess(),
          WakeUpLatency.threeProcesses(),
          new IdleCost(),
          new HeldSnapshot(),
          new DeepBacklog());

  private final DatabaseAddress address;
  private final BenchOptions options;

  /**
   * A benchmark of a database.
   *
   * @throws IllegalArgumentException when a workload is named that there is not
   */
  public Benchmark(DatabaseAddress address, BenchOptions options) {
    Set<String> unknown = new TreeSet<>(options.only());
    workloads().forEach(unknown::remove);
    if (!unknown.isEmpty()) {
      throw new IllegalArgumentException(
          "workload must be one of " + workloads() + ", was " + unknown);
    }
    this.address = address;
    this.options = options;
  }

  /** The names of all workloads, in the order in which they run. */
  public static List<String> workloads() {
    return WORKLOADS.stream().map(Workload::name).toList();
  }

  /**
   * Runs what was chosen.
   *
   * @param progress told what is measured next
   * @throws IllegalStateException when the database holds events, or when a contender fails
   */
  public BenchResult run(Consumer<String> progress) throws Exception {
    try (Ground ground = Ground.open(address, options)) {
      Results results = new Results();
      Map<String, String> conditions = conditions(ground);
      for (Workload workload : WORKLOADS) {
        if (options.only().isEmpty() || options.only().contains(workload.name())) {
          progress.accept(workload.name());
          workload.run(ground, results);
        }
      }
      conditions.put("load after", load());
      return new BenchResult(conditions, results.figures(), Bars.of(results), results.series());
    }
  }

  private Map<String, String> conditions(Ground ground) throws SQLException {
    Map<String, String> conditions = new LinkedHashMap<>();
    conditions.put("date", Instant.now().truncatedTo(ChronoUnit.SECONDS).toString());
    conditions.put("cores", Integer.toString(Runtime.getRuntime().availableProcessors()));
    conditions.put("system", System.getProperty("os.name") + " " + System.getProperty("os.arch"));
    conditions.put("java", Runtime.version().toString());
    try (Connection connection = ground.pool().connection()) {
      conditions.put("postgresql", connection.getMetaData().getDatabaseProductVersion());
    }
    conditions.put("events", Integer.toString(options.events()));
    conditions.put("rounds", Integer.toString(options.rounds()));
    conditions.put("seconds", Long.toString(options.span().toSeconds()));
    conditions.put("backlog", Integer.toString(options.backlog()));
    conditions.put("history", Integer.toString(options.history()));
    conditions.put("load before", load());
    return conditions;
  }

  /** Of the last minute: how many wanted a core. */
  private static String load() {
    return String.format(
        Locale.ROOT, "%.2f", ManagementFactory.getOperatingSystemMXBean().getSystemLoadAverage());
  }
}
