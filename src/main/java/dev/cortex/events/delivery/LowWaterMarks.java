package dev.cortex.events.delivery;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import dev.cortex.events.delivery.ClaimWindow.Kind;
import dev.cortex.events.event.Priority;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.locks.ReentrantLock;

/**
 * What one worker process remembers of one handler's queue: for each priority the place up to which
 * it has handled everything that it could see. A claim starts there and so never walks over the
 * dead rows of what is finished, which is what keeps claiming flat while somebody holds a snapshot
 * open, and between two vacuums.
 *
 * <p>A row below the mark is finished, or held by a live worker, or not committed yet, or was freed
 * by a crash or a rollback. The last two become visible below the mark, where two sweeps look for
 * them: nothing below the mark can be lost, only be late.
 *
 * <ul>
 *   <li>The mini-sweep looks at the last second below the mark, every 20 ms or 30 times its own
 *       cost: transactions commit in another order than they inserted.
 *   <li>The full sweep looks at everything below, every 5 s or 50 times its own cost; sooner when
 *       somebody says that there is something to find.
 *   <li>A sweep that fills its batch moves the mark back to its first row, so that a million late
 *       rows are not taken one batch per sweep.
 *   <li>The mark moves forward with the claim, so that the slots of a process do not walk over each
 *       other's rows, and back to the first row of what this process gave back, or rolled back.
 *       Once it has moved back, a claim that began before then moves it forward no more: that claim
 *       did not look at what the mark went back for.
 *   <li>A server clock behind the mark drops all marks: what is born now is born below them.
 * </ul>
 *
 * <p>A claim takes the more urgent events first. Where they fill it time and again, every tenth
 * claim begins lower down, in turn at high, medium and low: so the least urgent event waits for the
 * claims of its elders, and thirty times as many, but not for the end of the urgent ones.
 *
 * <p>Thread-safe: the slots of a process share it.
 */
public final class LowWaterMarks {
  private static final Duration MINI_SWEEP_INTERVAL = Duration.ofMillis(20);
  private static final int MINI_SWEEP_COST_FACTOR = 30;
  private static final Duration FULL_SWEEP_INTERVAL = Duration.ofSeconds(5);
  private static final Duration SOONEST_FULL_SWEEP = Duration.ofMillis(200);
  private static final int FULL_SWEEP_COST_FACTOR = 50;
  private static final Duration MEMORY_INTERVAL = Duration.ofMillis(100);
  private static final int MEMORY_SIZE = 10;

  /** So many claims in a row may leave lower priorities out. */
  private static final int MOST_PASSED_OVER = 9;

  private static final List<Priority> LOWER = List.of(Priority.HIGH, Priority.MEDIUM, Priority.LOW);

  private final ReentrantLock lock = new ReentrantLock();

  @GuardedBy("lock")
  private final Map<Priority, Mark> marks = ClaimWindow.all(Mark.BEGINNING);

  /** The marks of the last second, oldest first. */
  @GuardedBy("lock")
  private final Deque<Map<Priority, Mark>> memory = new ArrayDeque<>();

  /** How often the marks have moved back. */
  @GuardedBy("lock")
  private long age;

  @GuardedBy("lock")
  private long remembered;

  @GuardedBy("lock")
  private long nextMiniSweep = System.nanoTime();

  @GuardedBy("lock")
  private long nextFullSweep = System.nanoTime();

  @GuardedBy("lock")
  private long soonestFullSweep = System.nanoTime();

  @GuardedBy("lock")
  private boolean isSweepWanted;

  /** How many claims in a row more urgent events have filled. */
  @GuardedBy("lock")
  private int passedOver;

  /** Where the next claim begins that begins lower down. */
  @GuardedBy("lock")
  private int lower;

  /**
   * Where the next claim is to look. A sweep that is due is given to one caller only.
   *
   * @param now {@link System#nanoTime()}
   */
  public ClaimWindow next(long now) {
    lock.lock();
    try {
      if (isAtBeginning()) {
        beginFullSweep(now);
        return ClaimWindow.everything(age);
      }
      remember(now);
      if (now - nextFullSweep >= 0 || (isSweepWanted && now - soonestFullSweep >= 0)) {
        beginFullSweep(now);
        return new ClaimWindow(Kind.FULL_SWEEP, ClaimWindow.all(Mark.BEGINNING), marks, age);
      }
      Map<Priority, Mark> floor = floor(memory.getFirst());
      if (now - nextMiniSweep >= 0 && !floor.equals(marks)) {
        nextMiniSweep = now + MINI_SWEEP_INTERVAL.toNanos();
        return new ClaimWindow(Kind.MINI_SWEEP, floor, marks, age);
      }
      if (passedOver >= MOST_PASSED_OVER) {
        passedOver = 0;
        lower = (lower + 1) % LOWER.size();
        return ClaimWindow.from(LOWER.get(lower), marks, age);
      }
      return new ClaimWindow(Kind.AHEAD, marks, ClaimWindow.all(Mark.END), age);
    } finally {
      lock.unlock();
    }
  }

  /**
   * Where to look for what has come lately: from where the marks were a second ago. What commits or
   * is freed below that is for a sweep, or for a look from the beginning.
   *
   * @param now {@link System#nanoTime()}
   */
  public ClaimWindow lately(long now) {
    lock.lock();
    try {
      remember(now);
      return new ClaimWindow(Kind.AHEAD, floor(memory.getFirst()), ClaimWindow.all(Mark.END), age);
    } finally {
      lock.unlock();
    }
  }

  /**
   * The claim through this window has returned. If what it claimed does not commit, {@link
   * #givenBack} has to follow.
   *
   * @param claimed what it returned, by priority, maybe nothing
   * @param isFull whether there may be more behind it
   * @param cost how long the claim took
   * @param now {@link System#nanoTime()}
   */
  public void claimed(
      ClaimWindow window, List<Delivery> claimed, boolean isFull, Duration cost, long now) {
    lock.lock();
    try {
      switch (window.kind()) {
        case AHEAD, LOWER -> {
          if (window.kind() == Kind.AHEAD) {
            passedOver = isFull && passesOver(claimed) ? passedOver + 1 : 0;
          }
          if (window.age() == age) {
            advance(window, claimed, isFull);
          }
        }
        case MINI_SWEEP -> {
          nextMiniSweep = after(now, MINI_SWEEP_INTERVAL, cost, MINI_SWEEP_COST_FACTOR);
          moveBackIf(isFull, claimed);
        }
        case FULL_SWEEP -> {
          nextFullSweep = after(now, FULL_SWEEP_INTERVAL, cost, FULL_SWEEP_COST_FACTOR);
          soonestFullSweep = after(now, SOONEST_FULL_SWEEP, cost, FULL_SWEEP_COST_FACTOR);
          moveBackIf(isFull, claimed);
        }
        case RESCUE -> {
          // Says nothing of what lies around it.
        }
      }
    } finally {
      lock.unlock();
    }
  }

  /** What was claimed is free again: the mark must not stay above it. */
  public void givenBack(List<Delivery> claimed) {
    lock.lock();
    try {
      moveBackIf(true, claimed);
    } finally {
      lock.unlock();
    }
  }

  /**
   * Something may lie below the mark of a queue that is being worked: the next full sweep comes as
   * soon as the cost of the last one allows. Dropping the marks instead would have every
   * notification make a claim walk over all dead rows.
   */
  public void sweepSoon() {
    lock.lock();
    try {
      isSweepWanted = true;
    } finally {
      lock.unlock();
    }
  }

  /** Forgets everything: the next claim starts at the beginning of the queue. */
  public void drop() {
    lock.lock();
    try {
      marks.putAll(ClaimWindow.all(Mark.BEGINNING));
      memory.clear();
      age++;
    } finally {
      lock.unlock();
    }
  }

  /** Drops the marks when the server's clock is behind one of them. */
  public void checkClock(Instant serverNow) {
    long micros = Mark.micros(serverNow);
    boolean isBehind = false;
    lock.lock();
    try {
      for (Mark mark : marks.values()) {
        isBehind |= mark.micros() > micros;
      }
    } finally {
      lock.unlock();
    }
    if (isBehind) {
      drop();
    }
  }

  @GuardedBy("lock")
  private void beginFullSweep(long now) {
    nextFullSweep = now + FULL_SWEEP_INTERVAL.toNanos();
    soonestFullSweep = now + SOONEST_FULL_SWEEP.toNanos();
    isSweepWanted = false;
  }

  @GuardedBy("lock")
  private boolean isAtBeginning() {
    return marks.values().stream().allMatch(Mark.BEGINNING::equals);
  }

  private static boolean passesOver(List<Delivery> claimed) {
    return !claimed.isEmpty() && claimed.get(claimed.size() - 1).priority() != Priority.LOW;
  }

  /**
   * Behind what was claimed; and, of the priorities that were looked through to their end, to the
   * moment of the claim, or the dead rows of one that is rarely used would be walked for ever.
   */
  @GuardedBy("lock")
  private void advance(ClaimWindow window, List<Delivery> claimed, boolean isFull) {
    if (claimed.isEmpty()) {
      return;
    }
    Mark moment = Mark.at(claimed.get(0).lockedAt(), 0);
    Priority last = claimed.get(claimed.size() - 1).priority();
    for (Priority priority : Priority.values()) {
      if (!window.isClosed(priority) && (!isFull || priority.compareTo(last) < 0)) {
        marks.merge(priority, moment, LowWaterMarks::later);
      }
    }
    for (Delivery delivery : claimed) {
      marks.merge(delivery.priority(), delivery.mark().next(), LowWaterMarks::later);
    }
  }

  @GuardedBy("lock")
  private void moveBackIf(boolean wanted, List<Delivery> claimed) {
    if (wanted) {
      for (Delivery delivery : claimed) {
        marks.merge(delivery.priority(), delivery.mark(), LowWaterMarks::earlier);
      }
      age++;
    }
  }

  @GuardedBy("lock")
  private void remember(long now) {
    if (memory.isEmpty() || now - remembered >= MEMORY_INTERVAL.toNanos()) {
      memory.addLast(new EnumMap<>(marks));
      remembered = now;
      if (memory.size() > MEMORY_SIZE) {
        memory.removeFirst();
      }
    }
  }

  /** A mark that moved back since is its own floor. */
  @GuardedBy("lock")
  private Map<Priority, Mark> floor(Map<Priority, Mark> aSecondAgo) {
    Map<Priority, Mark> floor = new EnumMap<>(aSecondAgo);
    marks.forEach((priority, mark) -> floor.merge(priority, mark, LowWaterMarks::earlier));
    return floor;
  }

  private static Mark later(Mark one, Mark other) {
    return one.compareTo(other) >= 0 ? one : other;
  }

  private static Mark earlier(Mark one, Mark other) {
    return one.compareTo(other) <= 0 ? one : other;
  }

  private static long after(long now, Duration interval, Duration cost, int costFactor) {
    return now + Math.max(interval.toNanos(), cost.toNanos() * costFactor);
  }
}
