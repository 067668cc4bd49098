package dev.cortex.events.operate;

import dev.cortex.events.operate.EventReader.Horizon;
import dev.cortex.events.operate.EventReader.Seen;
import java.time.Duration;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Predicate;

/**
 * Reads the log as it grows and misses nothing, although numbers do not commit in order.
 *
 * <p>It remembers the highest number it has come past and the gaps below it. A gap is a number that
 * was given out and could not be seen: its transaction is still open, or it was rolled back and the
 * number will never come. Which of the two, the emitters tell: every transaction that emits holds a
 * lock on the log until its commit can be seen. A gap is forgotten once every transaction that was
 * emitting when it was met has ended, and one more look has not found it.
 *
 * <p>So the order of one look matters: the highest number first, then the emitters, then the log;
 * and all of it on the primary, since a standby does not know the primary's locks. No clock is
 * involved, and an emitter that stays open for hours costs the memory of its gaps.
 *
 * <p>What it remembers changes only when an answer is there, before the consumer sees it. So a look
 * that the database does not finish is looked again, and nothing is missed or seen twice.
 */
final class LogFollower {
  /** Numbers looked at in one transaction. */
  private static final int PAGE = 1_000;

  /** Between two looks at a database that is away. */
  private static final Duration LONGEST_PAUSE = Duration.ofSeconds(10);

  /** How far before the start gaps are sought, for the emitters that are open at the start. */
  private static final long LOOK_BACK = 100_000;

  private final EventReader reader;
  private final EventFilter filter;

  private long passed;

  /** Met before {@link #awaited} was taken: whoever may still fill them is among those. */
  private UnseenNumbers olderGaps = UnseenNumbers.none();

  /** Met since; they wait for the emitters that are taken next. */
  private UnseenNumbers newerGaps = UnseenNumbers.none();

  private Set<String> awaited = new HashSet<>();

  LogFollower(EventReader reader, EventFilter filter) {
    this.reader = reader;
    this.filter = filter;
  }

  /**
   * Looks until the consumer wants no more, waiting for a database that goes away.
   *
   * @param absence told why, each time that it does
   */
  void follow(
      Duration interval,
      Predicate<LoggedEvent> consumer,
      Consumer<OperationFailedException> absence) {
    start();
    Duration pause = interval;
    boolean isAway = false;
    boolean isWanted = true;
    while (isWanted) {
      try {
        isWanted = look(consumer);
        pause = interval;
        isAway = false;
      } catch (OperationFailedException e) {
        if (!e.isPassing()) {
          throw e;
        }
        if (!isAway) {
          absence.accept(e);
        }
        pause = longer(pause);
        isAway = true;
      }
      isWanted = isWanted && sleep(pause);
    }
  }

  private static Duration longer(Duration pause) {
    Duration doubled = pause.multipliedBy(2);
    return doubled.compareTo(LONGEST_PAUSE) < 0 ? doubled : LONGEST_PAUSE;
  }

  /** False when interrupted, which the thread still is. */
  private static boolean sleep(Duration interval) {
    try {
      Thread.sleep(interval.toMillis());
      return true;
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      return false;
    }
  }

  /** Takes its stand at the end of the log, or at the filter's beginning. */
  void start() {
    Horizon horizon = reader.horizon();
    passed = horizon.lastId();
    if (filter.since().isPresent()) {
      passed = reader.firstSince(filter).map(first -> first - 1).orElse(passed);
    }
    awaited = new HashSet<>(horizon.emitters());
    if (!awaited.isEmpty()) {
      olderGaps = reader.missing(Math.max(1, passed - LOOK_BACK), passed);
    }
  }

  /** One look at the gaps and at what is new; false when the consumer wants no more. */
  boolean look(Predicate<LoggedEvent> consumer) {
    Horizon horizon = reader.horizon();
    boolean resolved = haveEnded(awaited, horizon.emitters());
    if (!lookAtGaps(olderGaps, consumer) || !lookAtGaps(newerGaps, consumer)) {
      return false;
    }
    if (resolved) {
      // What is left of the older ones was rolled back. The newer ones' emitters are in this look's
      // horizon, since their numbers are below it.
      olderGaps = newerGaps;
      newerGaps = UnseenNumbers.none();
      awaited = new HashSet<>(horizon.emitters());
    }
    return lookAhead(horizon, consumer);
  }

  /**
   * Whether none of those is emitting any more. A prepared transaction has another name after a
   * restart of the server, so one that nobody has seen before may be any of them.
   */
  private static boolean haveEnded(Set<String> awaited, List<String> emitting) {
    boolean ended = true;
    for (String emitter : emitting) {
      if (emitter.startsWith("-1/") && !awaited.isEmpty()) {
        awaited.add(emitter);
      }
      ended = ended && !awaited.contains(emitter);
    }
    return ended;
  }

  private boolean lookAtGaps(UnseenNumbers gaps, Predicate<LoggedEvent> consumer) {
    List<Seen> page;
    do {
      page = reader.look(gaps, filter, PAGE);
      for (Seen seen : page) {
        gaps.remove(seen.id());
      }
      if (!deliver(page, consumer)) {
        return false;
      }
    } while (page.size() == PAGE);
    return true;
  }

  boolean remembersGaps() {
    return !olderGaps.isEmpty() || !newerGaps.isEmpty();
  }

  private boolean lookAhead(Horizon horizon, Predicate<LoggedEvent> consumer) {
    while (passed < horizon.lastId()) {
      long last = Math.min(passed + PAGE, horizon.lastId());
      UnseenNumbers range = UnseenNumbers.of(passed + 1, last);
      List<Seen> page = reader.look(range, filter, PAGE);
      for (Seen seen : page) {
        range.remove(seen.id());
      }
      newerGaps.addAll(range);
      passed = last;
      if (!deliver(page, consumer)) {
        return false;
      }
    }
    return true;
  }

  private static boolean deliver(List<Seen> page, Predicate<LoggedEvent> consumer) {
    for (Seen seen : page) {
      if (seen.event().isPresent() && !consumer.test(seen.event().get())) {
        return false;
      }
    }
    return true;
  }
}
