package dev.cortex.events.database;

import java.time.Duration;

/**
 * How {@link Migrations} are to run.
 *
 * @param roles the names of the roles
 * @param createRoles false where an administrator has made the roles beforehand
 * @param fleet whether the schema {@code fleet} is migrated too
 * @param lockTimeout how long one statement waits for a lock before it steps back, so that nobody
 *     queues behind it for longer
 * @param attempts how often a migration that could not have its lock is tried in all
 */
public record MigrationOptions(
    RoleNames roles, boolean createRoles, boolean fleet, Duration lockTimeout, int attempts) {
  /** Checks the timeout and the number of attempts. */
  public MigrationOptions {
    if (lockTimeout.toMillis() < 1) {
      throw new IllegalArgumentException("lock timeout must be at least 1 ms: " + lockTimeout);
    }
    if (attempts < 1 || attempts > 100) {
      throw new IllegalArgumentException("migration attempts must be from 1 to 100: " + attempts);
    }
  }

  /** The default role names, created; both schemas; 5 s for a lock, ten attempts. */
  public static MigrationOptions defaults() {
    return new MigrationOptions(RoleNames.defaults(), true, true, Duration.ofSeconds(5), 10);
  }

  /** The same with other role names. */
  public MigrationOptions withRoles(RoleNames roles) {
    return new MigrationOptions(roles, createRoles, fleet, lockTimeout, attempts);
  }

  /** The same with roles that exist already. */
  public MigrationOptions withoutCreatingRoles() {
    return new MigrationOptions(roles, false, fleet, lockTimeout, attempts);
  }

  /** The same for the engine alone. */
  public MigrationOptions withoutFleet() {
    return new MigrationOptions(roles, createRoles, false, lockTimeout, attempts);
  }

  /** The same with another patience for locks. */
  public MigrationOptions withLockTimeout(Duration lockTimeout, int attempts) {
    return new MigrationOptions(roles, createRoles, fleet, lockTimeout, attempts);
  }
}
