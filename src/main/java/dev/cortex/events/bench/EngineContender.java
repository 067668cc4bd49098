package dev.cortex.events.bench;

import java.io.IOException;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** The engine: one or more worker processes that drain a full queue. Started with each drain. */
final class EngineContender implements Contender {
  private final String name;
  private final Ground ground;
  private final List<ToldProcess> workers = new ArrayList<>();

  private EngineContender(String name, Ground ground) {
    this.name = name;
    this.ground = ground;
  }

  /**
   * Worker processes for a kind of work.
   *
   * @param kind one of {@link BenchHandlers#of}
   */
  static EngineContender of(String name, Ground ground, String kind, int processes)
      throws IOException {
    EngineContender contender = new EngineContender(name, ground);
    BenchOptions options = ground.options();
    for (int i = 0; i < processes; i++) {
      contender.workers.add(ToldProcess.start(options.worker(), options.environment(), kind));
    }
    return contender;
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public void prepare(int events) throws SQLException {
    ground.refill(events);
  }

  /** Again for as long as something is left: what failed is due later. */
  @Override
  public void run(int events) throws IOException, SQLException {
    do {
      workers.forEach(worker -> worker.tell("drain"));
      for (ToldProcess worker : workers) {
        worker.hear();
      }
    } while (ground.unfinished() > 0);
  }

  @Override
  public Optional<Duration> processorTime() {
    return workers.stream()
        .map(ToldProcess::processorTime)
        .reduce((one, other) -> one.flatMap(a -> other.map(a::plus)))
        .orElse(Optional.empty());
  }

  @Override
  public void close() {
    workers.forEach(ToldProcess::close);
  }
}
