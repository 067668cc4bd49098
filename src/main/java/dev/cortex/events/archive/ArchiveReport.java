package dev.cortex.events.archive;

import java.util.ArrayList;
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
 * @param unreadable files of the archive whose manifest cannot be read, so that it is not known
 *     which month they have; none in a dry run
 * @param complete whether nothing that is too old is left, and every manifest could be read
 */
public record ArchiveReport(
    Map<String, Long> removed,
    long expiredDeliveries,
    List<ArchivedFile> files,
    List<String> postponed,
    List<String> unreadable,
    boolean complete) {
  /** Copies the map and the lists. */
  public ArchiveReport {
    removed = Collections.unmodifiableMap(new LinkedHashMap<>(removed));
    files = List.copyOf(files);
    postponed = List.copyOf(postponed);
    unreadable = List.copyOf(unreadable);
  }

  /** Why it is not complete, for people; empty when it is. */
  public List<String> left() {
    List<String> left = new ArrayList<>(postponed);
    unreadable.forEach(name -> left.add(name + ": must have a manifest that can be read"));
    if (left.isEmpty() && !complete) {
      left.add("stopped before its end");
    }
    return left;
  }

  /** Rows of all kinds. */
  public long removedInAll() {
    return removed.values().stream().mapToLong(Long::longValue).sum();
  }
}
