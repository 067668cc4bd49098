package dev.cortex.events.database;

import java.nio.file.Path;
import java.util.Optional;

/**
 * What is known of an embedded server without starting it.
 *
 * @param directory where its data lie
 * @param major the major version of its data; empty if there are none yet
 * @param process the server's process id; empty if it does not run
 * @param address where it is reached; empty if it does not run
 */
public record EmbeddedServerStatus(
    Path directory,
    Optional<Integer> major,
    Optional<Long> process,
    Optional<DatabaseAddress> address) {
  /** Whether the server runs. */
  public boolean isRunning() {
    return process.isPresent();
  }
}
