package dev.cortex.events.bench;

import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What is measured, and how much of it.
 *
 * @param only the names of the workloads to run; empty for all
 * @param events how many each measurement moves, at least 100; slow work takes a part of them
 * @param rounds how often each is repeated, at least 1; the median counts
 * @param backlog how many deliveries wait while a claim is timed
 * @param history how many events and attempts lie behind them
 * @param span how long each of the measurements over time takes
 * @param worker runs {@link BenchWorker} in a process of its own
 * @param peers runs a peer, whose name and work are added; alone it names them all. Empty for none
 * @param environment leads those processes to the database, by DATABASE_URL or the PG* variables
 */
public record BenchOptions(
    Set<String> only,
    int events,
    int rounds,
    int backlog,
    int history,
    Duration span,
    List<String> worker,
    List<String> peers,
    Map<String, String> environment) {

  public BenchOptions {
    require(events >= 100, "events must be at least 100, was " + events);
    require(rounds >= 1, "rounds must be at least 1, was " + rounds);
    require(backlog >= 100, "backlog must be at least 100, was " + backlog);
    require(history >= 0, "history must not be negative, was " + history);
    require(span.toSeconds() >= 2, "seconds must be at least 2, was " + span.toSeconds());
    only = Set.copyOf(only);
    worker = List.copyOf(worker);
    peers = List.copyOf(peers);
    environment = Map.copyOf(environment);
  }

  private static void require(boolean holds, String message) {
    if (!holds) {
      throw new IllegalArgumentException(message);
    }
  }
}
