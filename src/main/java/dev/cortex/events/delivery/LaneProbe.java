package dev.cortex.events.delivery;

import java.util.List;
import java.util.stream.Collectors;

/**
 * Where to look for a lane with something to run: the lanes in their turn, and what is remembered
 * of each, as parallel arrays for {@code cortex.take_lane}.
 */
public final class LaneProbe {

  /** What is remembered of one lane. */
  record Memory(short lane, long from, String since, long version, boolean isSweep) {}

  private final long floor;
  private final List<Memory> lanes;

  LaneProbe(long floor, List<Memory> lanes) {
    this.floor = floor;
    this.lanes = List.copyOf(lanes);
  }

  /** Whether this process works in all of the lanes already. */
  public boolean isEmpty() {
    return lanes.isEmpty();
  }

  List<Memory> lanes() {
    return lanes;
  }

  LaneTurn turn(short lane, long version) {
    Memory memory = lanes.stream().filter(known -> known.lane() == lane).findFirst().orElseThrow();
    return memory.version() == version
        ? new LaneTurn(lane, version, false, memory.isSweep(), memory.from(), floor, memory.since())
        : new LaneTurn(lane, version, true, false, 0, floor, Lanes.BEGINNING);
  }

  String numbers() {
    return array(lanes.stream().map(lane -> Short.toString(lane.lane())).toList());
  }

  String from() {
    return array(lanes.stream().map(lane -> Long.toString(lane.from())).toList());
  }

  String since() {
    return array(lanes.stream().map(lane -> '"' + lane.since() + '"').toList());
  }

  String versions() {
    return array(lanes.stream().map(lane -> Long.toString(lane.version())).toList());
  }

  private static String array(List<String> elements) {
    return elements.stream().collect(Collectors.joining(",", "{", "}"));
  }
}
