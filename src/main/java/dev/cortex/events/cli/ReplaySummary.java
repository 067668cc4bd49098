package dev.cortex.events.cli;

import dev.cortex.events.operate.DeliveryState;
import dev.cortex.events.operate.DeliveryStatus;
import dev.cortex.events.operate.ReplayedEvent;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * What has become of replayed events. An event has failed when one of its deliveries has: it is
 * dead, was ended, or has had an attempt fail and is being retried; it is successful when all are
 * completed, and skipped when no handler gets it.
 *
 * @param isFollowed whether anybody has waited for them
 */
record ReplaySummary(Map<ReplayedEvent, List<DeliveryStatus>> outcomes, boolean isFollowed) {
  private static final Set<DeliveryState> FAILED =
      Set.of(
          DeliveryState.DEAD,
          DeliveryState.CANCELLED,
          DeliveryState.EXPIRED,
          DeliveryState.UNKNOWN);
  private static final int FAILED_STATUS = 1;
  private static final int UNFINISHED_STATUS = 75;

  private enum Fate {
    SUCCESSFUL,
    FAILED,
    SKIPPED,
    UNFINISHED
  }

  /** Nothing is known of their deliveries yet. */
  static ReplaySummary of(List<ReplayedEvent> events) {
    Map<ReplayedEvent, List<DeliveryStatus>> outcomes = new LinkedHashMap<>();
    events.forEach(event -> outcomes.put(event, List.of()));
    return new ReplaySummary(outcomes, false);
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
    return outcomes.entrySet().stream()
        .filter(outcome -> fate(outcome.getKey(), outcome.getValue()) == fate)
        .count();
  }

  int exitStatus() {
    if (count(Fate.FAILED) > 0) {
      return FAILED_STATUS;
    }
    return !isFollowed || count(Fate.UNFINISHED) == 0 ? 0 : UNFINISHED_STATUS;
  }

  /** One per delivery, and per event without one. */
  List<String> lines() {
    List<String> lines = new ArrayList<>();
    outcomes.forEach(
        (event, known) -> {
          String name = event.eventId() + "  " + Inert.line(event.type());
          if (event.deliveries().isEmpty()) {
            lines.add(name + "  skipped, no handler subscribes to it");
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
        });
    return lines;
  }

  private static String reason(DeliveryStatus status) {
    return status.reason().map(reason -> " (" + Inert.line(reason) + ")").orElse("");
  }

  Map<String, Object> members(boolean isDryRun) {
    Map<String, Object> members = new LinkedHashMap<>();
    members.put("dry_run", isDryRun);
    members.put("processed", outcomes.size());
    if (!isFollowed) {
      members.put("queued", count(Fate.UNFINISHED));
    } else {
      members.put("successful", count(Fate.SUCCESSFUL));
      members.put("failed", count(Fate.FAILED));
      members.put("unfinished", count(Fate.UNFINISHED));
    }
    members.put("skipped", count(Fate.SKIPPED));
    return members;
  }

  String text() {
    StringBuilder text = new StringBuilder("processed   " + outcomes.size());
    if (!isFollowed) {
      text.append("\nqueued      ").append(count(Fate.UNFINISHED));
    } else {
      text.append("\nsuccessful  ").append(count(Fate.SUCCESSFUL));
      text.append("\nfailed      ").append(count(Fate.FAILED));
    }
    text.append("\nskipped     ").append(count(Fate.SKIPPED));
    if (isFollowed && count(Fate.UNFINISHED) > 0) {
      text.append("\nunfinished  ")
          .append(count(Fate.UNFINISHED))
          .append(": queued, and no worker has handled them yet");
    }
    return text.toString();
  }
}
