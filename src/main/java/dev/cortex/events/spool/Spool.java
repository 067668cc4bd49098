package dev.cortex.events.spool;

import dev.cortex.events.event.EventDraft;
import java.io.IOException;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * A directory in which events wait for the database, in files of one event to a line. Any number of
 * processes write to it and drain it at the same time. Each file has one writer; what is drained is
 * taken from its writer by renaming it first.
 *
 * <p>The directory is made when it is first written to, for its owner only (mode 0700, files 0600);
 * one that is a link, belongs to somebody else or is open to others is refused. Thread-safe.
 */
public final class Spool {
  /** More than this waits in no spool, unless it is told to. */
  public static final long MAX_BYTES = 1L << 30;

  /** Nor in more files than this: a shell script makes one for each event. */
  public static final int MAX_FILES = 100_000;

  private final SpoolDirectory directory;
  private final SpoolWriter writer;
  private final long maxBytes;
  private final int maxFiles;

  private Spool(SpoolDirectory directory, long maxBytes, int maxFiles) {
    if (maxBytes < 1 || maxFiles < 1) {
      throw new IllegalArgumentException(
          "limits of a spool must be at least 1, were %d bytes and %d files"
              .formatted(maxBytes, maxFiles));
    }
    this.directory = directory;
    this.maxBytes = maxBytes;
    this.maxFiles = maxFiles;
    this.writer = new SpoolWriter(directory, maxBytes, maxFiles);
  }

  /** The spool in a directory, which need not be there yet. */
  public static Spool at(Path directory) {
    return new Spool(
        new SpoolDirectory(directory.toAbsolutePath().normalize()), MAX_BYTES, MAX_FILES);
  }

  /**
   * Where a user's spool is: {@code CORTEX_SPOOL_DIR}, else {@code cortex-events/spool} in {@code
   * XDG_STATE_HOME}, else in {@code ~/.local/state}. Shell scripts look there too.
   */
  public static Spool usual(Map<String, String> environment) {
    @Nullable String named = environment.get("CORTEX_SPOOL_DIR");
    if (named != null && !named.isEmpty()) {
      return at(Path.of(named));
    }
    @Nullable String state = environment.get("XDG_STATE_HOME");
    @Nullable String home = environment.get("HOME");
    Path base =
        state != null && state.startsWith("/")
            ? Path.of(state)
            : Path.of(home != null ? home : System.getProperty("user.home"), ".local", "state");
    return at(base.resolve("cortex-events").resolve("spool"));
  }

  /** The same directory with other limits, about which an append is refused. */
  public Spool withLimits(long maxBytes, int maxFiles) {
    return new Spool(directory, maxBytes, maxFiles);
  }

  /** Which directory. */
  public Path directory() {
    return directory.path();
  }

  /** Appends events and returns the file, once they are on the disk. */
  Path append(List<EventDraft> drafts) {
    try {
      return writer.append(drafts);
    } catch (IOException e) {
      throw new SpoolFailedException(directory.path().toString(), e);
    }
  }

  /**
   * What waits, read from every file.
   *
   * @throws SpoolFailedException when it cannot be read
   */
  public SpoolStatus status() {
    try {
      return SpoolStatus.of(directory, maxBytes, maxFiles);
    } catch (IOException e) {
      throw new SpoolFailedException(directory.path().toString(), e);
    }
  }

  /** Whether no file waits; cheap. */
  public boolean isEmpty() {
    try {
      return !directory.exists() || directory.files().isEmpty();
    } catch (IOException e) {
      throw new SpoolFailedException(directory.path().toString(), e);
    }
  }

  /**
   * Delivers what waits, oldest first, each event exactly once however often this is interrupted:
   * the log knows an event that it has by its id. What the database refuses goes to the quarantine,
   * with the reason; so does a damaged line, whose file is kept aside besides. While another
   * process drains this returns at once.
   *
   * @param connection on which this begins and commits transactions of its own
   * @throws SQLException when the database is away or refuses this login; what was not delivered
   *     waits on
   * @throws SpoolFailedException when the spool cannot be read
   */
  public DrainSummary drain(Connection connection) throws SQLException {
    try {
      return new SpoolDrain(directory, connection).drain();
    } catch (IOException e) {
      throw new SpoolFailedException(directory.path().toString(), e);
    }
  }
}
