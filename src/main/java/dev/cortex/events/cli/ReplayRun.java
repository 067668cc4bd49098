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
import java.util.ArrayList;
import java.util.Deque;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.TimeUnit;
import java.util.function.BiConsumer;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Follows replayed events to their end, so many at once that a day of millions needs the memory of
 * those: the replay goes on when they are over. While it does, it works those of their handlers
 * that this program has: as one more worker, which shares the work with those that run.
 */
final class ReplayRun implements AutoCloseable {
  private static final Duration LOOK = Duration.ofMillis(200);

  /** Events that are open at once. */
  private static final int FOLLOWED_AT_ONCE = 5_000;

  /** Events asked about in one look: the audit is probed for each. */
  private static final int LOOKED_AT = 1_000;

  private final Console console;
  private final Operations operations;
  private final List<HandlerDefinition> handlers;
  private final Duration patience;
  private final BiConsumer<ReplayedEvent, List<DeliveryStatus>> told;
  private final CortexEvents cortex;

  private final List<ReplayedEvent> events = new ArrayList<>();
  private final Set<String> worked = new HashSet<>();
  private Optional<Worker> worker = Optional.empty();
  private Optional<SQLException> failure = Optional.empty();
  private boolean hasGivenUp;

  /**
   * A run that has nothing to follow yet.
   *
   * @param handlers what this program can run
   * @param patience how long to wait while nothing comes to an end
   * @param told what has become of each, once it is over or nothing comes to an end any more
   */
  ReplayRun(
      Console console,
      Installation installation,
      List<HandlerDefinition> handlers,
      Duration patience,
      BiConsumer<ReplayedEvent, List<DeliveryStatus>> told) {
    this.console = console;
    this.operations = installation.operations(Role.OPERATOR);
    this.handlers = handlers;
    this.patience = patience;
    this.told = told;
    this.cortex = installation.as(Role.WORKER).withTelemetry(Telemetry.silent());
  }

  /** Takes one that has a delivery. May take as long as those before it need. */
  void follow(ReplayedEvent event) {
    events.add(event);
    if (events.size() == FOLLOWED_AT_ONCE) {
      settle();
    }
  }

  /** Follows the last of them to their end. */
  void finish() throws SQLException, InterruptedException {
    settle();
    if (failure.isPresent()) {
      throw failure.get();
    }
    if (Thread.interrupted()) {
      throw new InterruptedException("interrupted while replayed events were followed");
    }
  }

  /** What has become of these by the time when all are over, or it is not waited for any more. */
  private void settle() {
    try {
      if (!events.isEmpty() && !hasGivenUp) {
        work(wanted());
      }
      Map<ReplayedEvent, List<DeliveryStatus>> outcomes =
          awaitEnd(hasGivenUp ? Duration.ZERO : patience);
      events.forEach(event -> told.accept(event, outcomes.getOrDefault(event, List.of())));
    } catch (SQLException e) {
      failure = Optional.of(e);
      hasGivenUp = true;
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      hasGivenUp = true;
    }
    events.clear();
  }

  /** Only what the database knows already: a replay makes no handler known. */
  private Set<String> wanted() {
    Set<String> known = handlers.stream().map(HandlerDefinition::name).collect(Collectors.toSet());
    return events.stream()
        .flatMap(event -> event.deliveries().stream())
        .map(ReplayedEvent.Delivery::handler)
        .filter(known::contains)
        .collect(Collectors.toSet());
  }

  /** Works these too, beside those that are worked already. */
  private void work(Set<String> wanted) throws SQLException, InterruptedException {
    if (!worked.addAll(wanted)) {
      return;
    }
    worker.ifPresent(Worker::close);
    worker = Optional.empty();
    try {
      worker =
          Optional.of(
              cortex.work(handlers.stream().filter(one -> worked.contains(one.name())).toList()));
    } catch (SQLException e) {
      if (DatabaseFault.of(e).filter(DatabaseFault.ACCESS_DENIED::equals).isEmpty()) {
        throw e;
      }
      console.remark("this login is no worker: the running workers have to handle them");
    }
  }

  private Map<ReplayedEvent, List<DeliveryStatus>> awaitEnd(Duration longest)
      throws InterruptedException {
    Map<ReplayedEvent, List<DeliveryStatus>> outcomes = new HashMap<>();
    Deque<ReplayedEvent> open = new ArrayDeque<>(events);
    long deadline = System.nanoTime() + longest.toNanos();
    while (!open.isEmpty() && System.nanoTime() - deadline < 0) {
      int before = open.size();
      look(open, Math.min(before, LOOKED_AT), outcomes);
      if (open.size() < before) {
        deadline = System.nanoTime() + longest.toNanos();
      } else {
        TimeUnit.MILLISECONDS.sleep(LOOK.toMillis());
      }
    }
    hasGivenUp = hasGivenUp || !open.isEmpty();
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

  @Override
  public void close() {
    worker.ifPresent(Worker::close);
    cortex.close();
  }
}
