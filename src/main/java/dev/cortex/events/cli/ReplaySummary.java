package dev.cortex.events.cli;

import dev.cortex.events.operate.DeliveryState;
import dev.cortex.events.operate.DeliveryStatus;
import dev.cortex.events.operate.ReplayedEvent;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * Counts what has become of replayed events. An event has failed when one of its deliveries has: it
 * is dead, was ended, or has had an attempt fail and is being retried; it is successful when all
 * are completed, and skipped when no handler gets it.
 */
final class ReplaySummary {
  private static final Set<DeliveryState> FAILED =
      Set.of(
          DeliveryState.DEAD,
          DeliveryState.CANCELLED,
          DeliveryState.EXPIRED,
          DeliveryState.UNKNOWN);
  private static final String LEFT = "unfinished";
  private static final int WIDTH = LEFT.length();
  private static final int FAILED_STATUS = 1;
  private static final int UNFINISHED_STATUS = 75;

  /** What is done with the events, which decides what can be said of them. */
  enum Mode {
    DRY_RUN,
    QUEUED,
    FOLLOWED
  }

  private enum Fate {
    SUCCESSFUL,
    FAILED,
    SKIPPED,
    UNFINISHED
  }

  private final Mode mode;
  private final Map<Fate, Long> counts = new EnumMap<>(Fate.class);

  ReplaySummary(Mode mode) {
    this.mode = mode;
  }

  /**
   * Counts one.
   *
   * @param known what is known of its deliveries
   */
  void count(ReplayedEvent event, List<DeliveryStatus> known) {
    counts.merge(fate(event, known), 1L, Long::sum);
  }

  /** Whether nothing more will become of this delivery by itself. */
  static boolean isOver(DeliveryStatus delivery) {
    return delivery.state() == DeliveryState.COMPLETED || FAILED.contains(delivery.state());
  }

  private static Fate fate(ReplayedEvent event, List<DeliveryStatus> deliveries) {
    if (event.deliveries().isEmpty()) {
      return Fate.SKIPPED;
    }
    if (deliveries.stream().anyMatch(ReplaySummary::hasFailed)) {
      return Fate.FAILED;
    }
    boolean isComplete =
        deliveries.size() == event.deliveries().size()
            && deliveries.stream().allMatch(ReplaySummary::isOver);
    return isComplete ? Fate.SUCCESSFUL : Fate.UNFINISHED;
  }

  private static boolean hasFailed(DeliveryStatus delivery) {
    return FAILED.contains(delivery.state()) || (!isOver(delivery) && delivery.attempts() > 0);
  }

  private long count(Fate fate) {
    return counts.getOrDefault(fate, 0L);
  }

  int exitStatus() {
    if (count(Fate.FAILED) > 0) {
      return FAILED_STATUS;
    }
    return mode != Mode.FOLLOWED || count(Fate.UNFINISHED) == 0 ? 0 : UNFINISHED_STATUS;
  }

  /** One per delivery, and one for an event without any. */
  static List<String> lines(ReplayedEvent event, List<DeliveryStatus> known) {
    List<String> lines = new ArrayList<>();
    String name = event.eventId() + "  " + Inert.line(event.type());
    if (event.deliveries().isEmpty()) {
      lines.add(name + "  skipped, no handler gets it");
    }
    for (ReplayedEvent.Delivery delivery : event.deliveries()) {
      lines.add(
          name
              + "  "
              + delivery.handler()
              + "  generation "
              + delivery.generation()
              + known.stream()
                  .filter(
                      status ->
                          status.handler().equals(delivery.handler())
                              && status.generation() == delivery.generation())
                  .map(status -> "  " + status.state().label() + reason(status))
                  .findFirst()
                  .orElse(""));
    }
    return lines;
  }

  private static String reason(DeliveryStatus status) {
    return status.reason().map(reason -> " (" + Inert.line(reason) + ")").orElse("");
  }

  Map<String, Object> members() {
    Map<String, Object> members = new LinkedHashMap<>();
    members.put("dry_run", mode == Mode.DRY_RUN);
    members.putAll(counted());
    return members;
  }

  private Map<String, Long> counted() {
    Map<String, Long> counted = new LinkedHashMap<>();
    counted.put("processed", counts.values().stream().mapToLong(Long::longValue).sum());
    switch (mode) {
      case DRY_RUN -> counted.put("would_be_replayed", count(Fate.UNFINISHED));
      case QUEUED -> counted.put("queued", count(Fate.UNFINISHED));
      case FOLLOWED -> {
        counted.put("successful", count(Fate.SUCCESSFUL));
        counted.put("failed", count(Fate.FAILED));
      }
    }
    counted.put("skipped", count(Fate.SKIPPED));
    if (mode == Mode.FOLLOWED) {
      counted.put(LEFT, count(Fate.UNFINISHED));
    }
    return counted;
  }

  String text() {
    Map<String, Long> counted = counted();
    counted.remove(LEFT, 0L);
    int width = counted.keySet().stream().mapToInt(String::length).reduce(WIDTH, Math::max);
    String text =
        counted.entrySet().stream()
            .map(one -> line(one.getKey(), one.getValue(), width))
            .collect(Collectors.joining("\n"));
    return (mode == Mode.DRY_RUN ? "dry run, nothing was replayed\n" : "") + text;
  }

  private static String line(String name, long count, int width) {
    String padded = name.replace('_', ' ') + " ".repeat(width - name.length()) + "  " + count;
    return name.equals(LEFT) ? padded + ": queued, and no worker has handled them yet" : padded;
  }
}
