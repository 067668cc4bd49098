package dev.cortex.events.bench;

import dev.cortex.events.database.ConnectionPool;
import dev.cortex.events.database.DatabaseAddress;
import dev.cortex.events.database.PoolOptions;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Consumer;

/**
 * Runs the workloads one after another on a migrated database that holds no events yet. Every round
 * measures the floor and then the engine, so that a machine that slows down slows both.
 */
public final class Benchmark {
  private static final int CONNECTIONS = 4;

  private final DatabaseAddress address;
  private final int events;
  private final int rounds;

  /**
   * A benchmark of a database.
   *
   * @param events how many each measurement moves, at least 1,000
   * @param rounds how often each is repeated, at least 1; the median counts
   */
  public Benchmark(DatabaseAddress address, int events, int rounds) {
    if (events < 1_000) {
      throw new IllegalArgumentException("events must be at least 1,000, was " + events);
    }
    if (rounds < 1) {
      throw new IllegalArgumentException("rounds must be at least 1, was " + rounds);
    }
    this.address = address;
    this.events = events;
    this.rounds = rounds;
  }

  /**
   * Runs everything.
   *
   * @param progress told what is measured next
   * @throws IllegalStateException when the database holds events: they would be in the way, and the
   *     benchmark in theirs
   */
  public List<Measurement> run(Consumer<String> progress) throws Exception {
    try (ConnectionPool pool =
        ConnectionPool.open(address, PoolOptions.of("cortex-bench", CONNECTIONS + 1))) {
      refuseUsedDatabase(pool);
      EmitFloor.create(pool);
      List<Workload> workloads = new ArrayList<>();
      workloads.add(new EmitSingle(pool, events / 10, CONNECTIONS));
      workloads.add(new EmitBulk(pool, events));
      workloads.add(DrainWorkload.noOp(address, pool, events));
      workloads.add(DrainWorkload.oneInsertEach(address, pool, events / 2));
      workloads.add(DrainWorkload.batch(address, pool, events));
      List<Measurement> measurements = new ArrayList<>();
      for (Workload workload : workloads) {
        progress.accept(workload.name());
        measurements.add(measure(workload));
      }
      return measurements;
    }
  }

  private Measurement measure(Workload workload) throws Exception {
    List<Double> floor = new ArrayList<>();
    List<Double> engine = new ArrayList<>();
    for (int round = 0; round < rounds; round++) {
      floor.add(workload.floor());
      engine.add(workload.engine());
    }
    return new Measurement(workload.name(), median(engine), median(floor));
  }

  private static double median(List<Double> values) {
    return values.stream().sorted().toList().get(values.size() / 2);
  }

  private static void refuseUsedDatabase(ConnectionPool pool) throws SQLException {
    try (Connection connection = pool.connection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery("select exists (select from cortex.events)")) {
      row.next();
      if (row.getBoolean(1)) {
        throw new IllegalStateException("the database must hold no events: name an empty one");
      }
    }
  }
}
