package dev.cortex.events.bench;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.IOException;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * From the return of an emitter's commit to the start of the handler, in worker processes that have
 * nothing else to do. Fifty events a second; with several processes, each has a handler of its own
 * and the events go to them in turn. The first tenth warms up and is not counted.
 */
record WakeUpLatency(String name, List<String> kinds) implements Workload {
  private static final int MOST_EVENTS = 1_000;
  private static final long INTERVAL_MILLIS = 20;

  private static final String EMIT =
      """
      insert into cortex.events (type, source, payload)
      values (?, 'bench', ?::jsonb)
      returning cortex.public_event_id(id, received_at)
      """;

  static Workload oneProcess() {
    return new WakeUpLatency("latency", List.of("a"));
  }

  static Workload threeProcesses() {
    return new WakeUpLatency("latency-3-processes", List.of("a", "b", "c"));
  }

  @Override
  public void run(Ground ground, Results results) throws Exception {
    BenchOptions options = ground.options();
    ground.empty();
    List<ToldProcess> workers = new ArrayList<>();
    try {
      for (String kind : kinds) {
        ToldProcess worker = ToldProcess.start(options.worker(), options.environment(), kind);
        workers.add(worker);
        worker.ask("start");
      }
      int events = Math.min(options.events() / kinds.size(), MOST_EVENTS / kinds.size());
      List<Double> millis = measure(ground, workers, events * kinds.size());
      add(results, millis.subList(millis.size() / 10, millis.size()).stream().sorted().toList());
    } finally {
      workers.forEach(ToldProcess::close);
    }
  }

  private List<Double> measure(Ground ground, List<ToldProcess> workers, int events)
      throws SQLException, IOException, InterruptedException {
    Map<String, Long> committed = new HashMap<>();
    try (Connection connection = ground.pool().connection();
        PreparedStatement statement = connection.prepareStatement(EMIT)) {
      for (int i = 0; i < events; i++) {
        statement.setString(1, "bench." + kinds.get(i % kinds.size()));
        statement.setString(2, Ground.PAYLOAD);
        try (ResultSet row = statement.executeQuery()) {
          row.next();
          committed.put(row.getString(1), BenchWorker.micros(Instant.now()));
        }
        TimeUnit.MILLISECONDS.sleep(INTERVAL_MILLIS);
      }
    }
    List<Double> millis = new ArrayList<>();
    for (int i = 0; i < events; i++) {
      ObjectNode start = workers.get(i % workers.size()).hear();
      Long from = committed.get(start.path("event").asText());
      if (from == null) {
        throw new IllegalStateException("an event that was not emitted: " + start);
      }
      millis.add((start.path("at").asLong() - from) / 1e3);
    }
    return millis;
  }

  private void add(Results results, List<Double> sorted) {
    for (int percent : new int[] {50, 95, 99}) {
      double value = sorted.get(Math.min(sorted.size() - 1, sorted.size() * percent / 100));
      results.add(Figure.of(name, "p" + percent, value, "ms"));
    }
  }
}
