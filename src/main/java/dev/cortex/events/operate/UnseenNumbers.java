package dev.cortex.events.operate;

import java.util.Map;
import java.util.TreeMap;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/** A set of numbers kept as ranges: the gaps that a follower of the log has come past. */
final class UnseenNumbers {
  private final TreeMap<Long, Long> lastByFirst = new TreeMap<>();

  static UnseenNumbers none() {
    return new UnseenNumbers();
  }

  /** All numbers from first to last; none when last is below first. */
  static UnseenNumbers of(long first, long last) {
    UnseenNumbers numbers = new UnseenNumbers();
    if (first <= last) {
      numbers.lastByFirst.put(first, last);
    }
    return numbers;
  }

  boolean isEmpty() {
    return lastByFirst.isEmpty();
  }

  /** Adds a set that has no number in common with this one. */
  void addAll(UnseenNumbers others) {
    lastByFirst.putAll(others.lastByFirst);
  }

  void remove(long number) {
    remove(number, number);
  }

  /** Removes the numbers from first to last, which lie within one range where they are known. */
  void remove(long first, long last) {
    Map.@Nullable Entry<Long, Long> range = lastByFirst.floorEntry(first);
    if (range == null || range.getValue() < last) {
      return;
    }
    lastByFirst.remove(range.getKey());
    if (range.getKey() < first) {
      lastByFirst.put(range.getKey(), first - 1);
    }
    if (last < range.getValue()) {
      lastByFirst.put(last + 1, range.getValue());
    }
  }

  /** The first numbers of the ranges, as an array in PostgreSQL's spelling. */
  String firsts() {
    return lastByFirst.keySet().stream()
        .map(String::valueOf)
        .collect(Collectors.joining(",", "{", "}"));
  }

  /** The last numbers of the ranges, in the same order. */
  String lasts() {
    return lastByFirst.values().stream()
        .map(String::valueOf)
        .collect(Collectors.joining(",", "{", "}"));
  }
}
