package dev.cortex.events.outbox;

import dev.cortex.events.event.ErrorCode;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;
import javax.sql.DataSource;

/**
 * The events of a system of shell scripts, in the directory where those keep them: {@code
 * coordination/events} with {@code archive}, {@code queue} and {@code *.jsonl}.
 *
 * <p>What was archived had been handled, or had failed for good, and is recorded for the log only.
 * What is in the queue had not, and is handed to its handlers. The log files repeat both, and so
 * come last. Everything that can be read is in the log afterwards and the rest in quarantine;
 * running it again changes nothing.
 */
public final class OldSystem {
  /** A part of the directory, in the order in which the parts are taken in. */
  public enum Part {
    /** {@code queue}: to be handled, also where the archive has it, since a replay queued it. */
    QUEUE(true),
    /** {@code archive/DATE} and {@code archive/failed}: for the log only. */
    ARCHIVE(false),
    /** {@code *.jsonl}: for the log only; mostly repetitions of the others. */
    LOGS(false);

    private final boolean isToBeHandled;

    Part(boolean isToBeHandled) {
      this.isToBeHandled = isToBeHandled;
    }
  }

  /** One row: whether anybody is subscribed to anything. */
  private static final String HAS_HANDLERS = "select exists (select from cortex.subscriptions)";

  private final Map<Part, List<Path>> paths;
  private final List<Path> unread;

  private OldSystem(Map<Part, List<Path>> paths, List<Path> unread) {
    this.paths = paths;
    this.unread = unread;
  }

  /**
   * The events below this directory: it is {@code events} itself, or {@code coordination} or what
   * holds that.
   *
   * @throws ImportFailedException when there is no such directory, or it has none of the parts
   */
  public static OldSystem in(Path directory) {
    try {
      Path events =
          Stream.of("coordination/events", "events", "")
              .map(directory::resolve)
              .filter(OldSystem::hasParts)
              .findFirst()
              .orElseThrow(() -> nothingIn(directory))
              .toRealPath();
      Map<Part, List<Path>> paths = new LinkedHashMap<>();
      paths.put(Part.QUEUE, ifThere(events.resolve("queue")));
      paths.put(Part.ARCHIVE, ifThere(events.resolve("archive")));
      paths.put(Part.LOGS, logs(events));
      return new OldSystem(paths, allBut(files(paths), events));
    } catch (IOException e) {
      throw new ImportFailedException(directory, e);
    }
  }

  private static ImportFailedException nothingIn(Path directory) {
    return Files.isDirectory(directory)
        ? new ImportFailedException(
            ErrorCode.NOT_FOUND,
            directory,
            "must hold coordination/events with queue, archive or *.jsonl, holds none of them")
        : new ImportFailedException(directory, new NoSuchFileException(directory.toString()));
  }

  private static Set<Path> files(Map<Part, List<Path>> paths) throws IOException {
    Set<Path> files = new HashSet<>();
    for (List<Path> part : paths.values()) {
      for (Path path : part) {
        files.addAll(ArchiveFiles.under(path));
      }
    }
    return files;
  }

  private static List<Path> allBut(Set<Path> read, Path events) throws IOException {
    try (Stream<Path> below = Files.walk(events)) {
      return below
          .filter(path -> !Files.isDirectory(path, LinkOption.NOFOLLOW_LINKS))
          .filter(path -> !read.contains(path))
          .sorted()
          .toList();
    }
  }

  /** What lies there and is not taken in: links, and files that are no JSON by their names. */
  public List<Path> unread() {
    return unread;
  }

  private static boolean hasParts(Path events) {
    try {
      return Files.isDirectory(events.resolve("archive"))
          || Files.isDirectory(events.resolve("queue"))
          || !logs(events).isEmpty();
    } catch (IOException e) {
      return false;
    }
  }

  private static List<Path> ifThere(Path directory) {
    return Files.isDirectory(directory) ? List.of(directory) : List.of();
  }

  private static List<Path> logs(Path events) throws IOException {
    if (!Files.isDirectory(events)) {
      return List.of();
    }
    try (Stream<Path> files = Files.list(events)) {
      return files
          .filter(file -> file.toString().matches("(?s).*\\.jsonl(\\.gz)?"))
          .filter(Files::isRegularFile)
          .sorted()
          .toList();
    }
  }

  /**
   * Takes it in, as a login of the operator role.
   *
   * @param olderLines as what lines that are no envelopes are taken; absent: they are quarantined
   * @param dryRun whether to say what would happen and write nothing
   * @return what became of each part
   * @throws ImportFailedException when a file cannot be read, or the queue has events and no
   *     handler is known, so that they would be delivered to nobody
   */
  public Map<Part, ImportSummary> importInto(
      DataSource dataSource, Optional<OlderLines> olderLines, boolean dryRun, ImportProgress told) {
    requireHandlers(dataSource);
    Map<Part, ImportSummary> summaries = new LinkedHashMap<>();
    paths.forEach(
        (part, files) ->
            summaries.put(
                part,
                new Importer(dataSource, new ImportOptions(olderLines, part.isToBeHandled, dryRun))
                    .telling(told)
                    .run(new ArrayList<>(files))));
    return summaries;
  }

  private void requireHandlers(DataSource dataSource) {
    for (Path queue : paths.getOrDefault(Part.QUEUE, List.of())) {
      try {
        if (!ArchiveFiles.under(queue).isEmpty() && !hasHandlers(dataSource)) {
          throw new ImportFailedException(
              ErrorCode.CONFIGURATION,
              queue,
              "has events to be delivered, and no handler is known that would get them; start a worker with its"
                  + " handlers first, or move the queue into archive to record it for the log only");
        }
      } catch (IOException e) {
        throw new ImportFailedException(queue, e);
      }
    }
  }

  private static boolean hasHandlers(DataSource dataSource) {
    try (Connection connection = dataSource.getConnection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(HAS_HANDLERS)) {
      row.next();
      return row.getBoolean(1);
    } catch (SQLException e) {
      throw new EmitFailedException(e);
    }
  }
}
