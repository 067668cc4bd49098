package dev.cortex.events.cli;

import dev.cortex.events.bench.Bar;
import dev.cortex.events.bench.BenchOptions;
import dev.cortex.events.bench.BenchResult;
import dev.cortex.events.bench.BenchWorker;
import dev.cortex.events.bench.Benchmark;
import dev.cortex.events.bench.Cost;
import dev.cortex.events.bench.Figure;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import java.util.HashMap;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.function.Function;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "bench",
    description = {
      "Measure the engine beside the server's own limit, and beside peers, in one run.",
      "Runs on a throw-away embedded server, or on an empty database that --database-url names. Prints every"
          + " figure, then what is to be reached and whether it is. Compare ratios: rates are the machine's."
          + " docs/performance.md says what each workload does."
    })
final class BenchCommand implements Callable<Integer> {
  private static final Report<Figure> FIGURES =
      Report.<Figure>of("workload", Figure::workload)
          .with("contender", Figure::contender)
          .with("value", figure -> BenchReport.rounded(figure.value()))
          .with("unit", Figure::unit)
          .with("server_us", cost(Cost::serverMicros))
          .with("worker_us", cost(Cost::workerMicros))
          .with("wal_bytes", cost(cost -> Optional.of(cost.walBytes())))
          .with("dead_rows", cost(cost -> Optional.of((double) cost.deadTuples())));

  private static final Report<Bar> BARS =
      Report.of("to_reach", Bar::demand)
          .with("limit", bar -> (bar.isCeiling() ? "at most " : "at least ") + bar.limit())
          .with("figure", bar -> bar.figure().map(BenchReport::rounded))
          .with("reached", bar -> bar.isReached().map(isReached -> isReached ? "yes" : "NO"));

  private static final Duration LONGEST_STOP = Duration.ofSeconds(20);

  @ParentCommand private Cortex cortex;

  @Option(
      names = "--events",
      paramLabel = "N",
      defaultValue = "100000",
      description = "Events per measurement, at least 100; ${DEFAULT-VALUE} unless given.")
  private int events;

  @Option(
      names = "--rounds",
      paramLabel = "N",
      defaultValue = "3",
      description = "How often each is repeated; the median counts. ${DEFAULT-VALUE} unless given.")
  private int rounds;

  @Option(
      names = "--seconds",
      paramLabel = "N",
      defaultValue = "20",
      description =
          "How long each measurement over time takes (snapshot, idle); ${DEFAULT-VALUE} unless given.")
  private int seconds;

  @Option(
      names = "--backlog",
      paramLabel = "N",
      defaultValue = "100000",
      description = "Deliveries that wait while a claim is timed; ${DEFAULT-VALUE} unless given.")
  private int backlog;

  @Option(
      names = "--history",
      paramLabel = "N",
      defaultValue = "1000000",
      description = "Events and attempts of the past behind them; ${DEFAULT-VALUE} unless given.")
  private int history;

  @Option(
      names = "--only",
      paramLabel = "WORKLOAD",
      arity = "1..*",
      completionCandidates = Workloads.class,
      description = "Measure only these: ${COMPLETION-CANDIDATES}.")
  private Set<String> only = Set.of();

  @Option(
      names = "--peers",
      description =
          "Let db-scheduler, transaction-outbox, graphile-worker and pg-boss run beside. Needs the source"
              + " tree, Maven and Node.js 22; fetches what is missing from their registries.")
  private boolean peers;

  @Option(names = "--json", paramLabel = "FILE", description = "Write everything there as JSON.")
  private Optional<Path> json;

  @Option(
      names = "--picture",
      paramLabel = "FILE",
      description = "Draw the rates over time of the workload snapshot there, as SVG.")
  private Optional<Path> picture;

  /** The names of the workloads, for the help and for shells. */
  static final class Workloads implements Iterable<String> {
    @Override
    public Iterator<String> iterator() {
      return Benchmark.workloads().iterator();
    }
  }

  private static Function<Figure, Optional<Number>> cost(Function<Cost, Optional<Double>> part) {
    return figure -> figure.cost().flatMap(part).map(BenchReport::rounded);
  }

  @Override
  public Integer call() throws Exception {
    if (cortex.databaseUrl().isPresent()) {
      Map<String, String> environment = new HashMap<>(cortex.console().environment());
      cortex.databaseUrl().ifPresent(url -> environment.put("DATABASE_URL", url));
      try (Installation installation = cortex.open()) {
        measure(installation, environment);
      }
      return 0;
    }
    Path throwAway = Files.createTempDirectory("cortex-bench-");
    DatabaseChoice own = new DatabaseChoice.Embedded(Optional.of(throwAway.resolve("server")));
    Installation installation =
        Installation.reach(own, cortex.roles(), cortex.console()).migrated();
    try {
      measure(installation, installation.address().psqlVariables());
    } finally {
      installation.close();
      installation.server().ifPresent(server -> server.awaitStopped(LONGEST_STOP));
      delete(throwAway);
    }
    return 0;
  }

  private void measure(Installation installation, Map<String, String> environment)
      throws Exception {
    BenchResult result;
    try {
      result =
          new Benchmark(installation.address(), options(environment))
              .run(workload -> cortex.console().remark("measuring: " + workload));
    } catch (IllegalArgumentException | IllegalStateException e) {
      throw cortex.wrong(e.getMessage());
    }
    if (json.isPresent()) {
      Files.writeString(json.get(), BenchReport.json(result));
    }
    if (picture.isPresent()) {
      Files.writeString(picture.get(), result.picture());
    }
    result.conditions().forEach((name, value) -> cortex.console().print(name + ": " + value));
    cortex.console().print("");
    cortex.answer(FIGURES, result.figures(), false);
    cortex.console().print("");
    cortex.answer(BARS, result.bars(), false);
  }

  private BenchOptions options(Map<String, String> environment) {
    return new BenchOptions(
        only,
        events,
        rounds,
        backlog,
        history,
        Duration.ofSeconds(seconds),
        JavaProgram.command(
            BenchWorker.class,
            List.of("-D" + Main.LOG_CONFIGURATION + "=" + Main.OUR_LOG_CONFIGURATION)),
        peers ? List.of(peersProgram().toString()) : List.of(),
        environment);
  }

  private Path peersProgram() {
    Path program = Path.of(System.getProperty("cortex.home", ".")).resolve("bench/peers");
    if (!Files.isExecutable(program)) {
      throw cortex.wrong("--peers needs the source tree: there is no " + program);
    }
    return program;
  }

  private static void delete(Path directory) {
    try (Stream<Path> paths = Files.walk(directory)) {
      for (Path path : paths.sorted(Comparator.reverseOrder()).toList()) {
        Files.deleteIfExists(path);
      }
    } catch (IOException | UncheckedIOException e) {
      // Left to the system, as every temporary directory is.
    }
  }
}
