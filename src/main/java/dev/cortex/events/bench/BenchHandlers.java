package dev.cortex.events.bench;

import dev.cortex.events.event.Event;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Outcome;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.Consumer;
import java.util.stream.IntStream;

/** The handlers that are measured. */
final class BenchHandlers {
  /** What a short handler should set; see docs/performance.md. */
  private static final int MAX_BATCH = 1_000;

  private static final int COUNTERS = 50;
  private static final long WAIT_MILLIS = 2;
  private static final int IDLE_HANDLERS = 20;

  private BenchHandlers() {}

  /**
   * By the kind of work.
   *
   * @param seen told of each event when its handler starts
   */
  static List<HandlerDefinition> of(String kind, Consumer<Event> seen) {
    return switch (kind) {
      case "noop" -> List.of(oneByOne((event, connection) -> seen.accept(event)));
      case "insert" -> List.of(oneByOne(BenchHandlers::insertEffect));
      case "batch" -> List.of(batch());
      case "hot" -> List.of(oneByOne(BenchHandlers::countUp));
      case "wait" -> List.of(waiting());
      case "idle" -> numbered("bench-idle-", "bench.idle", IDLE_HANDLERS);
      case "a", "b", "c" -> List.of(stamping(kind, seen));
      default -> throw new IllegalArgumentException("no such kind of work: " + kind);
    };
  }

  /** One handler of {@code bench.ping}, two of {@code bench.two}, five of {@code bench.five}. */
  static List<HandlerDefinition> fanOut() {
    List<HandlerDefinition> handlers = new ArrayList<>(of("noop", event -> {}));
    handlers.addAll(numbered("bench-two-", "bench.two", 2));
    handlers.addAll(numbered("bench-five-", "bench.five", 5));
    return handlers;
  }

  private interface Effect {
    void on(Event event, Connection connection) throws Exception;
  }

  private static HandlerDefinition oneByOne(Effect effect) {
    return HandlerDefinition.oneByOne(
            "bench",
            (event, context) -> {
              effect.on(event, context.connection());
              return Outcome.done();
            })
        .on("bench.ping")
        .withMaxBatch(MAX_BATCH);
  }

  private static HandlerDefinition batch() {
    return HandlerDefinition.batch(
            "bench", (events, context) -> insertEffects(context.connection(), events))
        .on("bench.ping");
  }

  /** With the batch that a handler has by default: it takes 200 ms. */
  private static HandlerDefinition waiting() {
    return HandlerDefinition.oneByOne(
            "bench",
            (event, context) -> {
              TimeUnit.MILLISECONDS.sleep(WAIT_MILLIS);
              return Outcome.done();
            })
        .on("bench.ping");
  }

  private static HandlerDefinition stamping(String kind, Consumer<Event> seen) {
    return HandlerDefinition.oneByOne(
            "bench-" + kind,
            (event, context) -> {
              seen.accept(event);
              return Outcome.done();
            })
        .on("bench." + kind);
  }

  private static List<HandlerDefinition> numbered(String prefix, String type, int handlers) {
    return IntStream.rangeClosed(1, handlers)
        .mapToObj(
            i ->
                HandlerDefinition.oneByOne(prefix + i, (event, context) -> Outcome.done()).on(type))
        .toList();
  }

  private static void insertEffect(Event event, Connection connection) throws SQLException {
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

  private static void countUp(Event event, Connection connection) throws SQLException {
    try (PreparedStatement statement =
        connection.prepareStatement(
            "update cortex_bench.counters set handled = handled + 1 where id = ?")) {
      statement.setInt(1, Math.floorMod(event.id().hashCode(), COUNTERS));
      statement.executeUpdate();
    }
  }
}
