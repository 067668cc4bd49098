package dev.cortex.events.delivery;

/**
 * A lane that a transaction has taken, and what its process remembers of it.
 *
 * @param lane its number, from 1
 * @param version as it is
 * @param isChanged whether the process knew another version: then it remembers nothing
 * @param from the mark: what is open below it belongs to blocked keys
 * @param floor the number below which no event can still be committed
 * @param since the mark in the blocked keys, in PostgreSQL's words
 */
public record LaneTurn(
    short lane, long version, boolean isChanged, long from, long floor, String since) {}
