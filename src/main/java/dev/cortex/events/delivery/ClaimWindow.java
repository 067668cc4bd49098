package dev.cortex.events.delivery;

import dev.cortex.events.event.Priority;
import java.util.Collection;
import java.util.EnumMap;
import java.util.Map;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * Which part of a handler's queue a claim looks at: from (inclusive) and to (exclusive) for each
 * priority.
 */
public final class ClaimWindow {

  /** Why a claim looks where it looks. */
  public enum Kind {
    /** From the low-water mark on: the common claim. */
    AHEAD,
    /** From the low-water mark on, the most urgent priorities left out: their turn comes again. */
    LOWER,
    /** Just below the mark, for rows whose transactions committed late. */
    MINI_SWEEP,
    /** Everything below the mark, for rows that a crash or a rollback freed. */
    FULL_SWEEP,
    /** One delivery, wherever it lies: its lease has run out. */
    RESCUE
  }

  private final Kind kind;
  private final Map<Priority, Mark> from;
  private final Map<Priority, Mark> to;
  private final long age;

  /**
   * @param age how often the marks that it was made of had moved back by then
   */
  ClaimWindow(Kind kind, Map<Priority, Mark> from, Map<Priority, Mark> to, long age) {
    this.kind = kind;
    this.age = age;
    this.from = new EnumMap<>(from);
    this.to = new EnumMap<>(to);
  }

  /** The whole queue. */
  public static ClaimWindow everything() {
    return everything(0);
  }

  static ClaimWindow everything(long age) {
    return new ClaimWindow(Kind.AHEAD, all(Mark.BEGINNING), all(Mark.END), age);
  }

  /** From these marks on, but for the priorities above this one. */
  static ClaimWindow from(Priority highest, Map<Priority, Mark> marks, long age) {
    Map<Priority, Mark> from = new EnumMap<>(marks);
    from.replaceAll((priority, mark) -> priority.compareTo(highest) < 0 ? Mark.END : mark);
    return new ClaimWindow(Kind.LOWER, from, all(Mark.END), age);
  }

  /** The delivery at this place only. */
  static ClaimWindow rescue(Priority priority, Mark place) {
    Map<Priority, Mark> from = all(Mark.END);
    from.put(priority, place);
    Map<Priority, Mark> to = all(Mark.END);
    to.put(priority, place.next());
    return new ClaimWindow(Kind.RESCUE, from, to, 0);
  }

  /** Whether nothing of this priority is claimed, whatever there is. */
  boolean isClosed(Priority priority) {
    return Mark.END.equals(from.get(priority));
  }

  static Map<Priority, Mark> all(Mark mark) {
    Map<Priority, Mark> marks = new EnumMap<>(Priority.class);
    for (Priority priority : Priority.values()) {
      marks.put(priority, mark);
    }
    return marks;
  }

  /** What the claim is for. */
  public Kind kind() {
    return kind;
  }

  long age() {
    return age;
  }

  String fromAt() {
    return runAtArray(from.values().stream());
  }

  String fromNumber() {
    return numberArray(from.values().stream());
  }

  /** Of several windows, one behind the other. */
  static String fromAt(Collection<ClaimWindow> windows) {
    return runAtArray(windows.stream().flatMap(window -> window.from.values().stream()));
  }

  static String fromNumber(Collection<ClaimWindow> windows) {
    return numberArray(windows.stream().flatMap(window -> window.from.values().stream()));
  }

  String toAt() {
    return runAtArray(to.values().stream());
  }

  String toNumber() {
    return numberArray(to.values().stream());
  }

  private static String runAtArray(Stream<Mark> marks) {
    return marks.map(Mark::runAtText).collect(Collectors.joining(",", "{", "}"));
  }

  private static String numberArray(Stream<Mark> marks) {
    return marks
        .map(mark -> Long.toString(mark.number()))
        .collect(Collectors.joining(",", "{", "}"));
  }
}
