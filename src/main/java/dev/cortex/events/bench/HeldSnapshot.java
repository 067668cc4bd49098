package dev.cortex.events.bench;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.cortex.events.bench.ServerMeter.Reading;
import java.io.IOException;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * A worker that is kept fed for a while, with and without somebody who holds a snapshot open for
 * all of that time, so that no dead row can go away. The feeder shares the machine, so the rate is
 * that of emitting and handling together. Beside it the peer that drains the fastest, if peers run.
 */
record HeldSnapshot() implements Workload {
  private static final String PEER = "graphile-worker";
  private static final Duration FIRST = Duration.ofSeconds(1);

  @Override
  public String name() {
    return "snapshot";
  }

  @Override
  public void run(Ground ground, Results results) throws Exception {
    BenchOptions options = ground.options();
    for (boolean isHeld : new boolean[] {false, true}) {
      ToldProcess cortex = ToldProcess.start(options.worker(), options.environment(), "noop");
      sustain("cortex", cortex, isHeld, ground, results);
    }
    if (PeerContender.names(options).contains(PEER)) {
      for (boolean isHeld : new boolean[] {false, true}) {
        ToldProcess peer = ToldProcess.start(options.peers(), options.environment(), PEER, "noop");
        sustain(PEER, peer, isHeld, ground, results);
      }
    }
  }

  private void sustain(
      String who, ToldProcess process, boolean isHeld, Ground ground, Results results)
      throws Exception {
    Duration span = ground.options().span();
    String name = who + (isHeld ? ", snapshot held" : "");
    ground.empty();
    try (process;
        Connection holder = ground.pool().connection()) {
      holder.setAutoCommit(false);
      // Warm before the snapshot, so that both series begin alike.
      hearAll(process, FIRST);
      if (isHeld) {
        hold(holder);
      }
      Optional<Duration> workerBefore = process.processorTime();
      Reading before = ground.meter().read();
      Series series = new Series(name, hearAll(process, span));
      Reading after = ground.meter().read();
      double events = series.perSecond().stream().mapToDouble(Double::doubleValue).sum();
      Cost cost =
          Race.cost(before, after, workerBefore, process.processorTime(), Math.max(1, events));
      results.add(series);
      results.add(new Figure(name(), name, series.average(), Figure.RATE, Optional.of(cost)));
      holder.rollback();
    }
  }

  private static void hold(Connection holder) throws SQLException {
    try (Statement statement = holder.createStatement()) {
      statement.execute("set transaction isolation level repeatable read");
      statement.execute("select 1");
    }
  }

  /** How many were handled in each second. */
  private static List<Double> hearAll(ToldProcess process, Duration span) throws IOException {
    process.tell("sustain " + span.toSeconds());
    List<Double> perSecond = new ArrayList<>();
    long start = System.nanoTime();
    long last = 0;
    for (ObjectNode answer = process.hear(); !answer.has("ended"); answer = process.hear()) {
      double seconds = (System.nanoTime() - start) / 1e9;
      if (seconds >= 1) {
        long handled = answer.path("handled").asLong();
        perSecond.add((handled - last) / seconds);
        last = handled;
        start = System.nanoTime();
      }
    }
    return perSecond;
  }
}
