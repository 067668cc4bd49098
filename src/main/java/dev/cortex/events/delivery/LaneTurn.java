package dev.cortex.events.delivery;

/**
 * A lane that a transaction has taken, and what its process remembers of it.
 *
 * @param lane its number, from 1
 * @param version as it is
 * @param isChanged whether the process knew another version: then it remembers nothing
 * @param isSweep whether this is a step of a sweep, from where the one before it came to
 * @param from the mark: what is open below it belongs to blocked keys
 * @param floor the number below which no event can still be committed
 * @param since the mark in the blocked keys, in PostgreSQL's words
 */
public record LaneTurn(
    short lane,
    long version,
    boolean isChanged,
    boolean isSweep,
    long from,
    long floor,
    String since) {

  /**
   * From where on the scan of this turn has to park what it passed: what the mark does not leave
   * behind, and what a sweep came upon below it.
   */
  long parkFrom() {
    return isSweep ? from : Math.max(from, floor);
  }
}
