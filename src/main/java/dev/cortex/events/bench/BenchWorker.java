package dev.cortex.events.bench;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.DatabaseAddress;
import dev.cortex.events.event.Event;
import dev.cortex.events.event.Json;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.telemetry.Telemetry;
import dev.cortex.events.worker.Worker;
import java.io.BufferedReader;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.time.temporal.ChronoUnit;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import javax.sql.DataSource;

/**
 * A worker process of the benchmark, driven as the peers are: see bench/README.md for the commands.
 * {@code drain} starts a worker and ends it when nothing is due; {@code start} lets one run until
 * the input ends; {@code sustain N} keeps one fed for N seconds and tells how far it is.
 */
public final class BenchWorker {
  private static final PrintStream ANSWERS = System.out;

  private static final Duration LONGEST_DRAIN = Duration.ofMinutes(30);
  private static final long TELL_MILLIS = 100;
  private static final int MOST_WAITING = 20_000;
  private static final int ROWS_PER_INSERT = 1_000;

  private static final String FEED =
      """
      insert into cortex.events (type, source, payload)
      select 'bench.ping', 'bench', ?::jsonb from generate_series(1, ?)
      """;

  private final DatabaseAddress address;
  private final List<HandlerDefinition> handlers;
  private final boolean isTellingStarts;
  private final AtomicLong handled = new AtomicLong();

  private BenchWorker(DatabaseAddress address, String kind) {
    this.address = address;
    this.handlers = BenchHandlers.of(kind, this::started);
    this.isTellingStarts = List.of("a", "b", "c").contains(kind);
  }

  /** Runs the commands of standard input; the argument is the kind of work. */
  public static void main(String[] arguments) throws Exception {
    // What libraries log must not come between the answers.
    System.setOut(System.err);
    DatabaseAddress address =
        DatabaseAddress.fromEnvironment(System.getenv())
            .orElseThrow(() -> new IllegalArgumentException("DATABASE_URL must be set"));
    try (BufferedReader commands =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
      new BenchWorker(address, arguments[0]).obey(commands);
    }
  }

  private void obey(BufferedReader commands) throws Exception {
    for (String line = commands.readLine(); line != null; line = commands.readLine()) {
      String[] words = line.split(" ", 2);
      switch (words[0]) {
        case "drain" -> drain();
        case "start" -> start();
        case "sustain" -> sustain(Duration.ofSeconds(Long.parseLong(words[1])));
        default -> throw new IOException("no such command: " + line);
      }
    }
  }

  /** When an event's handler started, by the clock of this machine. */
  private void started(Event event) {
    handled.incrementAndGet();
    if (isTellingStarts) {
      answer(Map.of("event", event.id(), "at", micros(Instant.now())));
    }
  }

  static long micros(Instant moment) {
    return ChronoUnit.MICROS.between(Instant.EPOCH, moment);
  }

  private synchronized void answer(Map<String, ?> members) {
    ANSWERS.println(Json.of(members).text());
    ANSWERS.flush();
  }

  /** What a worker opens is closed with the front door that it came through. */
  private CortexEvents connect() {
    return CortexEvents.connect(address).withTelemetry(Telemetry.silent());
  }

  private void drain() throws Exception {
    try (CortexEvents cortex = connect()) {
      Worker worker = cortex.work(handlers);
      if (!worker.awaitDrained(LONGEST_DRAIN)) {
        throw new IllegalStateException("not drained within " + LONGEST_DRAIN);
      }
      answer(Map.of("drained", true));
    }
  }

  /** Until the process ends. */
  private void start() throws Exception {
    Worker worker = connect().work(handlers);
    answer(Map.of("worker", worker.workerId()));
  }

  private void sustain(Duration span) throws Exception {
    handled.set(0);
    long end = System.nanoTime() + span.toNanos();
    try (CortexEvents cortex = connect()) {
      DataSource connections = cortex.connections(1);
      Thread feeder = new Thread(() -> feed(connections, end), "feeder");
      feeder.setDaemon(true);
      Worker worker = cortex.work(handlers);
      feeder.start();
      while (System.nanoTime() < end) {
        TimeUnit.MILLISECONDS.sleep(TELL_MILLIS);
        answer(Map.of("handled", handled.get()));
      }
      feeder.join();
      worker.awaitDrained(LONGEST_DRAIN);
    }
    answer(Map.of("ended", true));
  }

  private void feed(DataSource connections, long end) {
    try (Connection connection = connections.getConnection();
        PreparedStatement statement = connection.prepareStatement(FEED)) {
      long emitted = 0;
      while (System.nanoTime() < end) {
        if (emitted - handled.get() < MOST_WAITING) {
          statement.setString(1, Ground.PAYLOAD);
          statement.setInt(2, ROWS_PER_INSERT);
          emitted += statement.executeUpdate();
        } else {
          TimeUnit.MILLISECONDS.sleep(1);
        }
      }
    } catch (SQLException | InterruptedException e) {
      throw new IllegalStateException("cannot feed", e);
    }
  }
}
