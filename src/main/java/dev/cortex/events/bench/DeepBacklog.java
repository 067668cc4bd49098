package dev.cortex.events.bench;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;

/**
 * What a claim costs when many deliveries wait and a long history lies behind them, beside a queue
 * that holds little more than the claim itself. The claim is the engine's own function, from
 * -infinity, rolled back; the median of many.
 */
record DeepBacklog() implements Workload {
  private static final int CLAIM = 100;
  private static final int SHALLOW = 1_000;
  private static final int CLAIMS = 300;
  private static final int ROWS_PER_INSERT = 10_000;

  private static final String CLAIM_SOME =
      """
      select count(*)
        from cortex.claim(
               (select handler_id from cortex.handlers where name = 'bench'), 0::smallint,
               array_fill('-infinity'::timestamptz, array[4]), array_fill(0::bigint, array[4]),
               array_fill('infinity'::timestamptz, array[4]), array_fill(0::bigint, array[4]), ?)
      """;

  /** Events of a type that nobody handles, and an attempt for each of them. */
  private static final String PAST =
      """
      with past as (
        insert into cortex.events (type, source, payload)
        select 'bench.past', 'bench', ?::jsonb from generate_series(1, ?)
        returning id, received_at
      )
      insert into cortex.attempts (event, event_at, started_at, outcome, handler_id, generation, attempt)
      select id, received_at, now(), 'done', (select handler_id from cortex.handlers where name = 'bench'), 0, 1
        from past
      """;

  @Override
  public String name() {
    return "backlog";
  }

  @Override
  public void run(Ground ground, Results results) throws Exception {
    BenchOptions options = ground.options();
    ground.refill(SHALLOW);
    double shallow = claimMillis(ground);
    ground.empty();
    remember(ground, options.history());
    ground.fill("bench.ping", options.backlog());
    ground.execute("vacuum analyze cortex.deliveries");
    double deep = claimMillis(ground);
    results.add(Figure.of(name(), "claim of 100, queue of 1,000", shallow, "ms"));
    results.add(Figure.of(name(), "claim of 100, backlog and history", deep, "ms"));
    try (EngineContender cortex = EngineContender.of("cortex", ground, "noop", 1)) {
      long start = System.nanoTime();
      cortex.run(options.backlog());
      double seconds = (System.nanoTime() - start) / 1e9;
      results.add(
          Figure.of(name(), "drain of the backlog", options.backlog() / seconds, Figure.RATE));
    }
    ground.empty();
  }

  private static void remember(Ground ground, int events) throws SQLException {
    try (Connection connection = ground.pool().connection();
        PreparedStatement statement = connection.prepareStatement(PAST)) {
      for (int i = 0; i < events; i += ROWS_PER_INSERT) {
        statement.setString(1, Ground.PAYLOAD);
        statement.setInt(2, Math.min(ROWS_PER_INSERT, events - i));
        statement.executeUpdate();
      }
    }
  }

  private static double claimMillis(Ground ground) throws SQLException {
    List<Double> millis = new ArrayList<>();
    try (Connection connection = ground.pool().connection();
        PreparedStatement statement = connection.prepareStatement(CLAIM_SOME)) {
      connection.setAutoCommit(false);
      statement.setInt(1, CLAIM);
      for (int i = 0; i < CLAIMS; i++) {
        long start = System.nanoTime();
        try (ResultSet row = statement.executeQuery()) {
          row.next();
          if (row.getInt(1) != CLAIM) {
            throw new IllegalStateException("claimed " + row.getInt(1) + " of " + CLAIM);
          }
        }
        millis.add((System.nanoTime() - start) / 1e6);
        connection.rollback();
      }
    }
    return millis.stream().sorted().toList().get(CLAIMS / 2);
  }
}
