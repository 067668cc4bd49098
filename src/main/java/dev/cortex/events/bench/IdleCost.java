package dev.cortex.events.bench;

import dev.cortex.events.bench.ServerMeter.Reading;
import java.time.Duration;
import java.util.concurrent.TimeUnit;

/** What a sleeping worker with twenty handlers asks of the server. */
record IdleCost() implements Workload {
  /** Every handler has looked once by then, and the pool has its connections. */
  private static final Duration SETTLING = Duration.ofSeconds(20);

  /** The measuring itself, which the statistics count too. */
  private static final int OWN = 3;

  private static final String TRANSACTIONS =
      "select xact_commit + xact_rollback from pg_stat_database where datname = current_database()";

  @Override
  public String name() {
    return "idle";
  }

  @Override
  public void run(Ground ground, Results results) throws Exception {
    BenchOptions options = ground.options();
    ground.empty();
    try (ToldProcess worker = ToldProcess.start(options.worker(), options.environment(), "idle")) {
      worker.ask("start");
      TimeUnit.MILLISECONDS.sleep(SETTLING.toMillis());
      Reading before = ground.meter().read();
      Duration workerBefore = worker.processorTime().orElse(Duration.ZERO);
      long transactions = ground.count(TRANSACTIONS);
      TimeUnit.MILLISECONDS.sleep(options.span().toMillis());
      double seconds = options.span().toMillis() / 1e3;
      double perSecond = (ground.count(TRANSACTIONS) - transactions - OWN) / seconds;
      results.add(
          Figure.of(name(), "worker with 20 handlers", Math.max(0, perSecond), "transactions/s"));
      Reading after = ground.meter().read();
      before
          .processorTime()
          .flatMap(earlier -> after.processorTime().map(later -> later.minus(earlier)))
          .ifPresent(used -> add(results, "server", used, seconds));
      worker
          .processorTime()
          .ifPresent(later -> add(results, "worker", later.minus(workerBefore), seconds));
    }
  }

  private void add(Results results, String who, Duration used, double seconds) {
    results.add(
        Figure.of(name(), who + "'s processor time", used.toNanos() / 1e6 / seconds, "ms/s"));
  }
}
