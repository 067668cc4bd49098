package dev.cortex.events.cli;

import dev.cortex.events.bench.Benchmark;
import dev.cortex.events.bench.Measurement;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.stream.Stream;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "bench",
    description = {
      "Measure emitting and draining beside the server's own limit, in one run.",
      "The floor of emitting is the same table (columns, checks, indexes, partitions) without a trigger; that"
          + " of draining is one statement that moves a thousand deliveries. Runs on a throw-away embedded"
          + " server, or on an empty database that --database-url names. Compare ratios: rates are the"
          + " machine's."
    })
final class BenchCommand implements Callable<Integer> {
  private static final Report<Measurement> TABLE =
      Report.<Measurement>of("workload", Measurement::workload)
          .with("events_per_second", line -> Math.round(line.eventsPerSecond()))
          .with("floor_per_second", line -> Math.round(line.floorPerSecond()))
          .with("ratio", line -> Math.round(line.ratio() * 100) / 100.0);

  private static final Duration LONGEST_STOP = Duration.ofSeconds(20);

  @ParentCommand private Cortex cortex;

  @Option(
      names = "--events",
      paramLabel = "N",
      defaultValue = "100000",
      description = "Events per measurement, at least 1000; ${DEFAULT-VALUE} unless given.")
  private int events;

  @Option(
      names = "--rounds",
      paramLabel = "N",
      defaultValue = "3",
      description = "How often each is repeated; the median counts. ${DEFAULT-VALUE} unless given.")
  private int rounds;

  @Option(names = "--json", description = "The measurements as a JSON array.")
  private boolean json;

  @Override
  public Integer call() throws Exception {
    if (cortex.databaseUrl().isPresent()) {
      try (Installation installation = cortex.open()) {
        measure(installation);
      }
      return 0;
    }
    Path throwAway = Files.createTempDirectory("cortex-bench-");
    DatabaseChoice own = new DatabaseChoice.Embedded(Optional.of(throwAway.resolve("server")));
    Installation installation =
        Installation.reach(own, cortex.roles(), cortex.console()).migrated();
    try {
      measure(installation);
    } finally {
      installation.close();
      installation.server().ifPresent(server -> server.awaitStopped(LONGEST_STOP));
      delete(throwAway);
    }
    return 0;
  }

  private void measure(Installation installation) throws Exception {
    List<Measurement> measurements;
    try {
      measurements =
          new Benchmark(installation.address(), events, rounds)
              .run(workload -> cortex.console().remark("measuring: " + workload));
    } catch (IllegalArgumentException | IllegalStateException e) {
      throw cortex.wrong(e.getMessage());
    }
    cortex.answer(TABLE, measurements, json);
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
