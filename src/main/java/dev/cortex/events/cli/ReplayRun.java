package dev.cortex.events.cli;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.database.DatabaseFault;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.operate.DeliveryStatus;
import dev.cortex.events.operate.Operations;
import dev.cortex.events.operate.ReplayedEvent;
import dev.cortex.events.telemetry.Telemetry;
import dev.cortex.events.worker.Worker;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Follows replayed events to their end. While it does, it works those of their handlers that this
 * program has: as one more worker, which shares the work with those that run.
 */
final class ReplayRun {
  private static final Duration LOOK = Duration.ofMillis(200);

  /** Events asked about in one look: the audit is probed for each. */
  private static final int LOOKED_AT = 1_000;

  private final Console console;
  private final Installation installation;
  private final Operations operations;
  private final List<HandlerDefinition> handlers;

  /**
   * @param handlers what this program can run
   */
  ReplayRun(
      Console console,
      Installation installation,
      Operations operations,
      List<HandlerDefinition> handlers) {
    this.console = console;
    this.installation = installation;
    this.operations = operations;
    this.handlers = handlers;
  }

  /**
   * What has become of these by the time when all are over, or nothing comes to an end any more.
   *
   * @param events each with a delivery
   * @param patience how long to wait while nothing comes to an end
   */
  Map<ReplayedEvent, List<DeliveryStatus>> follow(List<ReplayedEvent> events, Duration patience)
      throws SQLException, InterruptedException {
    try (CortexEvents cortex = installation.as(Role.WORKER).withTelemetry(Telemetry.silent())) {
      Optional<Worker> worker = work(cortex, wanted(events));
      try {
        return awaitEnd(events, patience);
      } finally {
        worker.ifPresent(Worker::close);
      }
    }
  }

  /** Only what the database knows already: a replay makes no handler known. */
  private List<HandlerDefinition> wanted(List<ReplayedEvent> events) {
    Set<String> wanted =
        events.stream()
            .flatMap(event -> event.deliveries().stream())
            .map(ReplayedEvent.Delivery::handler)
            .collect(Collectors.toSet());
    return handlers.stream().filter(handler -> wanted.contains(handler.name())).toList();
  }

  private Optional<Worker> work(CortexEvents cortex, List<HandlerDefinition> wanted)
      throws SQLException, InterruptedException {
    if (wanted.isEmpty()) {
      return Optional.empty();
    }
    try {
      return Optional.of(cortex.work(wanted));
    } catch (SQLException e) {
      if (DatabaseFault.of(e).filter(DatabaseFault.ACCESS_DENIED::equals).isEmpty()) {
        throw e;
      }
      console.remark("this login is no worker: the running workers have to handle them");
      return Optional.empty();
    }
  }

  private Map<ReplayedEvent, List<DeliveryStatus>> awaitEnd(
      List<ReplayedEvent> events, Duration patience) throws InterruptedException {
    Map<ReplayedEvent, List<DeliveryStatus>> outcomes = new HashMap<>();
    Deque<ReplayedEvent> open = new ArrayDeque<>(events);
    long deadline = System.nanoTime() + patience.toNanos();
    while (!open.isEmpty() && System.nanoTime() - deadline < 0) {
      int before = open.size();
      look(open, Math.min(before, LOOKED_AT), outcomes);
      if (open.size() < before) {
        deadline = System.nanoTime() + patience.toNanos();
      } else {
        TimeUnit.MILLISECONDS.sleep(LOOK.toMillis());
      }
    }
    look(open, open.size(), outcomes);
    return outcomes;
  }

  /** Looks at the first of them, and puts those that are not over yet behind the others. */
  private void look(
      Deque<ReplayedEvent> open, int count, Map<ReplayedEvent, List<DeliveryStatus>> outcomes) {
    List<ReplayedEvent> looked = Stream.generate(open::remove).limit(count).toList();
    outcomes.putAll(operations.outcomes(looked));
    looked.stream()
        .filter(event -> !isOver(event, outcomes.getOrDefault(event, List.of())))
        .forEach(open::add);
  }

  private static boolean isOver(ReplayedEvent event, List<DeliveryStatus> deliveries) {
    return deliveries.size() == event.deliveries().size()
        && deliveries.stream().allMatch(ReplaySummary::isOver);
  }
}
