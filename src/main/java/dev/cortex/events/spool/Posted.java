package dev.cortex.events.spool;

import java.nio.file.Path;
import java.util.Optional;

/**
 * An event that is durable.
 *
 * @param eventId its public id; one that waits in the spool keeps it when it is delivered, unless
 *     it then repeats another one's dedupe key
 * @param spooledIn the file in which it waits for the database; empty where the log has it
 */
public record Posted(String eventId, Optional<Path> spooledIn) {

  /** Whether it waits for the database. */
  public boolean isSpooled() {
    return spooledIn.isPresent();
  }
}
