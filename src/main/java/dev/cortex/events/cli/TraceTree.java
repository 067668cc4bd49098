package dev.cortex.events.cli;

import dev.cortex.events.operate.TracedEvent;
import dev.cortex.events.operate.TracedEvent.TracedDelivery;
import java.util.ArrayList;
import java.util.List;

/**
 * A trace as a tree of lines: each event with how its deliveries stand, below it what it caused.
 */
final class TraceTree {
  private final List<TracedEvent> events;

  TraceTree(List<TracedEvent> events) {
    this.events = events;
  }

  String drawn() {
    List<String> lines = new ArrayList<>();
    for (int i = 0; i < events.size(); i++) {
      TracedEvent event = events.get(i);
      lines.add(branch(i) + head(event));
      String below = trunk(i, event.depth()) + (hasChild(i) ? "│    " : "     ");
      event.deliveries().forEach(delivery -> lines.add(below + line(delivery)));
    }
    return String.join("\n", lines);
  }

  private String branch(int index) {
    int depth = events.get(index).depth();
    if (depth == 0) {
      return "";
    }
    return trunk(index, depth - 1) + (hasSibling(index, depth) ? "├─ " : "└─ ");
  }

  /** What stands left of an event's own place: the lines of its ancestors that go on. */
  private String trunk(int index, int depth) {
    StringBuilder trunk = new StringBuilder();
    for (int level = 1; level <= depth; level++) {
      trunk.append(hasSibling(index, level) ? "│  " : "   ");
    }
    return trunk.toString();
  }

  /** Whether the event at this level, in or above this place, has a later one beside it. */
  private boolean hasSibling(int index, int level) {
    for (int i = index + 1; i < events.size(); i++) {
      if (events.get(i).depth() <= level) {
        return events.get(i).depth() == level;
      }
    }
    return false;
  }

  private boolean hasChild(int index) {
    return index + 1 < events.size() && events.get(index + 1).depth() > events.get(index).depth();
  }

  private static String head(TracedEvent event) {
    return Inert.line(
        event.type()
            + "  "
            + event.eventId()
            + "  from "
            + event.source()
            + "  "
            + Report.moment(event.occurredAt()));
  }

  private static String line(TracedDelivery delivery) {
    String attempts = delivery.attempts() == 1 ? "1 attempt" : delivery.attempts() + " attempts";
    String replay = delivery.generation() == 0 ? "" : ", replay " + delivery.generation();
    return Inert.line(
        delivery.handler() + ": " + delivery.state().label() + " (" + attempts + replay + ")");
  }
}
