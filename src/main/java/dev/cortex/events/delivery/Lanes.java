package dev.cortex.events.delivery;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.locks.ReentrantLock;

/**
 * What a process remembers of the lanes of an ordered handler: for each, the low-water mark of its
 * scan, the mark in its blocked keys, and the version at which that was true. A claim from the
 * marks on walks over no dead rows, however long a snapshot is held.
 *
 * <p>What is open below the mark of a lane belongs to blocked keys, which are served by key; so
 * unlike {@link LowWaterMarks} nothing is there to be found by sweeping often. Two things could be:
 *
 * <ul>
 *   <li>An event that is committed late. The mark never passes the {@link EmitterHorizon} of its
 *       scan, so that the next scan sees those, and sees them in their order.
 *   <li>One whose emitter stayed open for longer than the horizon waits. A sweep, from the
 *       beginning, finds it: every 30 s, or 500 times its own cost. It goes up to the mark in
 *       steps, between which the lane is worked from the mark on.
 * </ul>
 *
 * <p>Thread-safe: the slots of a process share it.
 */
public final class Lanes {
  static final String BEGINNING = "-infinity";
  private static final long UNKNOWN_VERSION = -1;
  private static final Duration SWEEP_INTERVAL = Duration.ofSeconds(30);
  private static final int SWEEP_COST_FACTOR = 500;
  private static final int SWEEP_STEP_COST_FACTOR = 5;

  private static final class Lane {
    final short number;
    long mark;

    /** Where the next step of a sweep begins. */
    long sweptTo;

    String since = BEGINNING;
    long version = UNKNOWN_VERSION;
    long nextSweep = System.nanoTime() + SWEEP_INTERVAL.toNanos();
    boolean isTaken;

    Lane(short number) {
      this.number = number;
    }

    LaneProbe.Memory memory(long now) {
      return now - nextSweep >= 0
          ? new LaneProbe.Memory(number, sweptTo, BEGINNING, version, true)
          : new LaneProbe.Memory(number, mark, since, version, false);
    }

    void swept(Duration cost, long now) {
      sweptTo = 0;
      nextSweep = now + Math.max(SWEEP_INTERVAL.toNanos(), cost.toNanos() * SWEEP_COST_FACTOR);
    }
  }

  private final ReentrantLock lock = new ReentrantLock();

  @GuardedBy("lock")
  private final List<Lane> lanes = new ArrayList<>();

  @GuardedBy("lock")
  private int next;

  /**
   * @param count how many lanes the handler has
   */
  public Lanes(int count) {
    for (short number = 1; number <= count; number++) {
      lanes.add(new Lane(number));
    }
  }

  /**
   * Where to look now: the lanes in which no slot of this process works, beginning behind the one
   * that was taken last.
   *
   * @param now {@link System#nanoTime()}
   * @param floor of the {@link EmitterHorizon}
   */
  public LaneProbe probe(long now, long floor) {
    lock.lock();
    try {
      List<LaneProbe.Memory> memories = new ArrayList<>();
      for (int i = 0; i < lanes.size(); i++) {
        Lane lane = lanes.get((next + i) % lanes.size());
        if (!lane.isTaken) {
          memories.add(lane.memory(now));
        }
      }
      return new LaneProbe(floor, memories);
    } finally {
      lock.unlock();
    }
  }

  /** A slot has taken this lane. Until {@link #left}, no other slot looks there. */
  public void taken(LaneTurn turn) {
    lock.lock();
    try {
      lane(turn).isTaken = true;
      next = turn.lane() % lanes.size();
    } finally {
      lock.unlock();
    }
  }

  /** The slot has left the lane. */
  public void left(LaneTurn turn) {
    lock.lock();
    try {
      lane(turn).isTaken = false;
    } finally {
      lock.unlock();
    }
  }

  /** Whether a slot of this process works in one of them. */
  public boolean areTaken() {
    lock.lock();
    try {
      return lanes.stream().anyMatch(lane -> lane.isTaken);
    } finally {
      lock.unlock();
    }
  }

  /** Nothing was where the probe looked, or others work there. */
  public void foundNothing(LaneProbe probe, Duration cost, long now) {
    lock.lock();
    try {
      for (LaneProbe.Memory memory : probe.lanes()) {
        if (memory.isSweep()) {
          lanes.get(memory.lane() - 1).swept(cost, now);
        }
      }
    } finally {
      lock.unlock();
    }
  }

  /** What was claimed in the lane is finished or settled, and that is committed. */
  public void committed(LaneTurn turn, LaneClaim claim, Duration cost, long now) {
    lock.lock();
    try {
      Lane lane = lane(turn);
      lane.since = claim.lookedAt();
      lane.version = turn.version();
      boolean isBelowMark = turn.isSweep() && claim.scannedTo() < lane.mark;
      boolean foundNothing = claim.deliveries().isEmpty() && claim.scannedTo() == turn.from();
      if (!isBelowMark) {
        lane.mark = Math.min(claim.scannedTo(), turn.floor());
      }
      if (isBelowMark && !foundNothing) {
        lane.sweptTo = claim.scannedTo();
        lane.nextSweep = now + cost.toNanos() * SWEEP_STEP_COST_FACTOR;
      } else if (turn.isSweep() || turn.from() == 0) {
        lane.swept(cost, now);
      }
    } finally {
      lock.unlock();
    }
  }

  @GuardedBy("lock")
  private Lane lane(LaneTurn turn) {
    return lanes.get(turn.lane() - 1);
  }
}
