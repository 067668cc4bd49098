package dev.cortex.events.bench;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.ConnectionPool;
import dev.cortex.events.database.DatabaseAddress;
import dev.cortex.events.event.Event;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import dev.cortex.events.telemetry.Telemetry;
import dev.cortex.events.worker.Worker;
import dev.cortex.events.worker.WorkerOptions;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;

/**
 * Drains a full queue with one worker process. The floor moves the same deliveries by one statement
 * per thousand, with their audit (and effect, where the workload has one), a commit each.
 */
final class DrainWorkload implements Workload {
  private static final int BATCH = 1_000;
  private static final Duration LONGEST_DRAIN = Duration.ofMinutes(10);

  private static final String MOVE =
      """
      with moved as (
        delete from cortex.deliveries d
         where d.ctid = any (array(
                 select x.ctid
                   from cortex.deliveries x
                  where x.handler_id = (select handler_id from cortex.handlers where name = 'bench')
                    and x.lane = 0
                    and x.priority = 'medium'
                    and x.run_at <= clock_timestamp()
                  order by x.run_at, x.event
                  limit ?
                    for update skip locked))
        returning event, event_at, handler_id, generation, attempt
      ),
      effected as (
        insert into cortex_bench.effects (event_id)
        select cortex.public_event_id(event, event_at)
          from moved
         where ?
      )
      insert into cortex.attempts (event, event_at, started_at, outcome, handler_id, generation, attempt)
      select event, event_at, now(), 'done', handler_id, generation, attempt + 1
        from moved
      """;

  private final String name;
  private final DatabaseAddress address;
  private final ConnectionPool pool;
  private final HandlerDefinition handler;
  private final boolean hasEffect;
  private final int events;

  private DrainWorkload(
      String name,
      DatabaseAddress address,
      ConnectionPool pool,
      HandlerDefinition handler,
      boolean hasEffect,
      int events) {
    this.name = name;
    this.address = address;
    this.pool = pool;
    this.handler = handler.on("bench.*").withMaxBatch(BATCH);
    this.hasEffect = hasEffect;
    this.events = events;
  }

  static Workload noOp(DatabaseAddress address, ConnectionPool pool, int events) {
    HandlerDefinition handler =
        HandlerDefinition.oneByOne("bench", (event, context) -> Outcome.done());
    return new DrainWorkload("drain, no-op", address, pool, handler, false, events);
  }

  static Workload oneInsertEach(DatabaseAddress address, ConnectionPool pool, int events) {
    HandlerDefinition handler =
        HandlerDefinition.oneByOne(
            "bench",
            (event, context) -> {
              insertEffect(context.connection(), event);
              return Outcome.done();
            });
    return new DrainWorkload("drain, one INSERT per event", address, pool, handler, true, events);
  }

  static Workload batch(DatabaseAddress address, ConnectionPool pool, int events) {
    HandlerDefinition handler =
        HandlerDefinition.batch(
            "bench", (batch, context) -> insertEffects(context.connection(), batch));
    return new DrainWorkload(
        "drain, batch handler, one INSERT per batch", address, pool, handler, true, events);
  }

  private static void insertEffect(Connection connection, Event event) throws SQLException {
    try (PreparedStatement statement =
        connection.prepareStatement("insert into cortex_bench.effects (event_id) values (?)")) {
      statement.setString(1, event.id());
      statement.executeUpdate();
    }
  }

  private static void insertEffects(Connection connection, List<Event> events) throws SQLException {
    try (PreparedStatement statement =
        connection.prepareStatement(
            "insert into cortex_bench.effects (event_id) select unnest(?)")) {
      statement.setArray(
          1, connection.createArrayOf("text", events.stream().map(Event::id).toArray()));
      statement.executeUpdate();
    }
  }

  @Override
  public String name() {
    return name;
  }

  @Override
  public double floor() throws Exception {
    fill();
    return Stopwatch.perSecond(events, this::moveAll);
  }

  private void moveAll() throws SQLException {
    try (Connection connection = pool.connection();
        PreparedStatement statement = connection.prepareStatement(MOVE)) {
      statement.setInt(1, BATCH);
      statement.setBoolean(2, hasEffect);
      while (statement.executeUpdate() > 0) {
        // The next thousand.
      }
    }
  }

  @Override
  public double engine() throws Exception {
    fill();
    return Stopwatch.perSecond(events, this::drain);
  }

  /** A queue that holds this workload's events and has statistics, as one that is in use has. */
  private void fill() throws Exception {
    drain();
    EmitBulk.emit(pool, events);
    try (Connection connection = pool.connection();
        Statement statement = connection.createStatement()) {
      statement.execute("truncate cortex_bench.effects");
      statement.execute("vacuum analyze cortex.deliveries");
    }
  }

  private void drain() throws Exception {
    try (CortexEvents cortex = CortexEvents.connect(address).withTelemetry(Telemetry.silent())) {
      Worker worker = cortex.work(List.of(handler), WorkerOptions.defaults());
      if (!worker.awaitDrained(LONGEST_DRAIN)) {
        throw new IllegalStateException("not drained within " + LONGEST_DRAIN);
      }
    }
  }
}
