package dev.cortex.events.delivery;

/**
 * What a session is like, as far as it matters to whoever uses it next: see the functions of
 * migrations/engine/V23__sessions_and_overruns.sql.
 *
 * @param identity who it is, where it looks names up, and how its transactions are: what a handler
 *     has to leave as it was
 * @param settings what a handler may change for its transaction only
 */
public record SessionState(String identity, String settings) {}
