package dev.cortex.events.archive;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * What an archive run did; of a dry run, what it would have done.
 *
 * @param removed rows taken out of the database, by what they were: events, attempts, dedupe_keys,
 *     fires, workers
 * @param expiredDeliveries open deliveries that were ended since their events are too old
 * @param files what was written, or found written by a run that was interrupted; none in a dry run
 * @param postponed what is too old and had to stay, each with the reason
 * @param complete whether nothing that is too old is left
 */
public record ArchiveReport(
    Map<String, Long> removed,
    long expiredDeliveries,
    List<ArchivedFile> files,
    List<String> postponed,
    boolean complete) {
  /** Copies the map and the lists. */
  public ArchiveReport {
    removed = Collections.unmodifiableMap(new LinkedHashMap<>(removed));
    files = List.copyOf(files);
    postponed = List.copyOf(postponed);
  }

  /** Rows of all kinds. */
  public long removedInAll() {
    return removed.values().stream().mapToLong(Long::longValue).sum();
  }
}
