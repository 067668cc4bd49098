package dev.cortex.events.database;

import java.time.Duration;
import java.util.Optional;
import java.util.regex.Pattern;

/**
 * How a {@link ConnectionPool} is to be.
 *
 * @param name the pool's name in logs and in {@code pg_stat_activity}
 * @param size how many connections are kept open, at least 1
 * @param role the role to take in every session, if the login is a member of it
 * @param socketTimeout how long one answer may take; zero for no limit
 * @param statementTimeout how long the server lets one statement run
 * @param idleTimeout how long the server lets a transaction lie idle
 * @param connectionTimeout how long a caller waits for a free connection, at least 250 ms
 */
public record PoolOptions(
    String name,
    int size,
    Optional<String> role,
    Duration socketTimeout,
    Optional<Duration> statementTimeout,
    Optional<Duration> idleTimeout,
    Duration connectionTimeout) {
  /** The pool refuses less. */
  private static final Duration SHORTEST_CONNECTION_TIMEOUT = Duration.ofMillis(250);

  private static final Pattern ROLE = Pattern.compile("[A-Za-z_][A-Za-z0-9_-]{0,62}");

  /** Checks every option. */
  public PoolOptions {
    if (name.isBlank()) {
      throw new IllegalArgumentException("pool name must not be blank");
    }
    if (size < 1) {
      throw new IllegalArgumentException("pool size must be at least 1: " + size);
    }
    if (role.isPresent() && !ROLE.matcher(role.get()).matches()) {
      throw new IllegalArgumentException("role must match " + ROLE + ": " + role.get());
    }
    if (socketTimeout.isNegative()) {
      throw new IllegalArgumentException("socket timeout must not be negative: " + socketTimeout);
    }
    checkServerTimeout("statement timeout", statementTimeout);
    checkServerTimeout("idle timeout", idleTimeout);
    if (connectionTimeout.compareTo(SHORTEST_CONNECTION_TIMEOUT) < 0) {
      throw new IllegalArgumentException(
          "connection timeout must be at least "
              + SHORTEST_CONNECTION_TIMEOUT
              + ": "
              + connectionTimeout);
    }
  }

  private static void checkServerTimeout(String name, Optional<Duration> timeout) {
    if (timeout.filter(given -> given.toMillis() < 1).isPresent()) {
      throw new IllegalArgumentException(name + " must be at least 1 ms: " + timeout.get());
    }
  }

  /** No role of its own, no socket timeout, and 10 s of waiting for a connection. */
  public static PoolOptions of(String name, int size) {
    return new PoolOptions(
        name,
        size,
        Optional.empty(),
        Duration.ZERO,
        Optional.empty(),
        Optional.empty(),
        Duration.ofSeconds(10));
  }

  /** The same with a role to take. */
  public PoolOptions withRole(String role) {
    return new PoolOptions(
        name,
        size,
        Optional.of(role),
        socketTimeout,
        statementTimeout,
        idleTimeout,
        connectionTimeout);
  }

  /** The same with a limit for one answer of the server. */
  public PoolOptions withSocketTimeout(Duration socketTimeout) {
    return new PoolOptions(
        name, size, role, socketTimeout, statementTimeout, idleTimeout, connectionTimeout);
  }

  /** The same with limits, kept by the server, for one statement and for idling in between. */
  public PoolOptions withServerTimeouts(Duration statementTimeout, Duration idleTimeout) {
    return new PoolOptions(
        name,
        size,
        role,
        socketTimeout,
        Optional.of(statementTimeout),
        Optional.of(idleTimeout),
        connectionTimeout);
  }

  /** The same under another name and of another size. */
  public PoolOptions named(String name, int size) {
    return new PoolOptions(
        name, size, role, socketTimeout, statementTimeout, idleTimeout, connectionTimeout);
  }

  /** The same with another patience for a free connection. */
  public PoolOptions withConnectionTimeout(Duration connectionTimeout) {
    return new PoolOptions(
        name, size, role, socketTimeout, statementTimeout, idleTimeout, connectionTimeout);
  }
}
