package dev.cortex.events.spool;

import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.InvalidEventException;
import java.io.IOException;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.FileTime;
import java.time.Instant;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/**
 * What waits in a spool.
 *
 * @param directory which
 * @param files that wait
 * @param events that wait
 * @param bytes of those files
 * @param maxBytes how many bytes may wait
 * @param maxFiles how many files may wait
 * @param oldest when the oldest event that waits occurred, by its emitter's clock
 * @param unreadable lines of those files that are damaged, or still being written
 * @param damagedFiles kept aside, in the directory {@code damaged}
 * @param incomplete files without a whole last line, and when each is drained all the same
 * @param foreign what lies there and is never drained: links, and files with names of another form
 */
public record SpoolStatus(
    Path directory,
    int files,
    long events,
    long bytes,
    long maxBytes,
    int maxFiles,
    Optional<Instant> oldest,
    long unreadable,
    int damagedFiles,
    Map<Path, Instant> incomplete,
    List<Path> foreign) {

  /** Copies what it is given. */
  public SpoolStatus {
    incomplete = Collections.unmodifiableMap(new TreeMap<>(incomplete));
    foreign = List.copyOf(foreign);
  }

  static SpoolStatus of(SpoolDirectory directory, long maxBytes, int maxFiles) throws IOException {
    boolean exists = directory.exists();
    List<SpoolFile> files = exists ? directory.files() : List.of();
    long events = 0;
    long bytes = 0;
    long unreadable = 0;
    Optional<Instant> oldest = Optional.empty();
    Map<Path, Instant> incomplete = new TreeMap<>();
    for (SpoolFile file : files) {
      try {
        bytes += file.size();
        FileTime written = file.written();
        SpoolFile.Content content = file.read();
        file.writtenUntil(content, written).ifPresent(until -> incomplete.put(file.path(), until));
        for (byte[] line : content.lines()) {
          Optional<EventDraft> draft = read(line);
          if (draft.isEmpty()) {
            unreadable++;
          } else {
            events++;
            Optional<Instant> moment = draft.get().occurredAt();
            if (oldest.isEmpty() || (moment.isPresent() && moment.get().isBefore(oldest.get()))) {
              oldest = moment;
            }
          }
        }
      } catch (NoSuchFileException e) {
        // drained meanwhile
      }
    }
    return new SpoolStatus(
        directory.path(),
        files.size(),
        events,
        bytes,
        maxBytes,
        maxFiles,
        oldest,
        unreadable,
        exists ? directory.damaged().size() : 0,
        incomplete,
        exists ? directory.foreign() : List.of());
  }

  private static Optional<EventDraft> read(byte[] line) {
    try {
      return Optional.of(SpoolLine.read(line));
    } catch (InvalidEventException e) {
      return Optional.empty();
    }
  }
}
