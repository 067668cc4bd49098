package dev.cortex.events.handler;

import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * The order that a handler asks for: the events of one key one after the other, by their numbers.
 * Keys do not wait for each other. Every {@code with} method returns a changed copy.
 *
 * <p>An event without a key has no order: it runs beside all others.
 *
 * <p>Whether a handler is ordered, and by which keys, changes only while it has no open deliveries:
 * what is queued lies where its key was. A worker that declares otherwise is refused.
 *
 * @param lanes over how many lanes the keys are spread, 1 to 1024: as many transactions of this
 *     handler can run at once in all processes together. Counts when the handler is first made
 *     known; afterwards only {@code cortex.set_lanes} changes it
 * @param keyPaths for patterns of the handler, where in the payload the key lies, such as {@code
 *     ["task_id"]}. Events of other patterns, and those that have nothing there, have their own key
 * @param whenDead what becomes of a key whose event is a dead letter
 */
public record Order(int lanes, Map<String, List<String>> keyPaths, WhenDead whenDead) {

  private static final int MAX_LANES = 1024;
  private static final int MAX_DEPTH = 10;

  /** What a dead letter does to the later events of its key. */
  public enum WhenDead {
    /** They wait until an operator has retried, redriven, cancelled or released it. */
    HOLD,
    /** They go on without it; the audit says {@code key_skipped}. */
    SKIP
  }

  public Order {
    if (lanes < 1 || lanes > MAX_LANES) {
      throw new IllegalArgumentException("lanes must be 1 to 1024, was " + lanes);
    }
    Map<String, List<String>> copy = new TreeMap<>();
    keyPaths.forEach((pattern, path) -> copy.put(pattern, List.copyOf(path)));
    for (List<String> path : copy.values()) {
      if (path.isEmpty() || path.size() > MAX_DEPTH) {
        throw new IllegalArgumentException("key path must have 1 to 10 names, was " + path);
      }
    }
    keyPaths = Collections.unmodifiableMap(copy);
  }

  /** By the events' own keys, over 16 lanes; a dead letter holds its key. */
  public static Order byKey() {
    return new Order(16, Map.of(), WhenDead.HOLD);
  }

  /**
   * Over so many lanes, 1 to 1024: so many batches of the handler run at once in the whole cluster.
   * Counts when the handler is first registered; after that, {@code cortex.set_lanes} changes it.
   *
   * @throws IllegalArgumentException for any other number
   */
  public Order withLanes(int lanes) {
    return new Order(lanes, keyPaths, whenDead);
  }

  /**
   * Of the events of a pattern that the handler subscribes to, the key is the text at this path of
   * the payload.
   */
  public Order withKeyPath(String pattern, String... path) {
    Map<String, List<String>> paths = new TreeMap<>(keyPaths);
    paths.put(pattern, List.of(path));
    return new Order(lanes, paths, whenDead);
  }

  /** What a dead letter does to the later events of its key. */
  public Order withDead(WhenDead whenDead) {
    return new Order(lanes, keyPaths, whenDead);
  }
}
