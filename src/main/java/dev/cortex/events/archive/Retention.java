package dev.cortex.events.archive;

import java.nio.file.Path;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/**
 * What the settings say, as moments of the database's clock.
 *
 * @param now when they were read
 * @param keptFrom what ended before leaves the log and the audit; absent: nothing does
 * @param recordsKeptFrom what belonged to events that are gone goes when it is older
 * @param types the types that are kept for less than all
 * @param directory where archives are written
 * @param database its name
 * @param server which server it is on
 */
record Retention(
    Instant now,
    Optional<Instant> keptFrom,
    Instant recordsKeptFrom,
    List<TypeRetention> types,
    Optional<Path> directory,
    String database,
    String server) {

  /** A canonical type, with the names that its events may have in the log. */
  record TypeRetention(String type, List<String> names, Instant keptFrom) {}

  boolean isUnlimited() {
    return keptFrom.isEmpty() && types.isEmpty();
  }
}
