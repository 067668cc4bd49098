package dev.cortex.events.archive;

import dev.cortex.events.event.ErrorCode;
import java.io.IOException;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import javax.sql.DataSource;

/**
 * Takes what is older than it is kept out of the database, and never without a file that has it.
 *
 * <p>Whole months of the log and of the audit leave once they ended longer ago than {@code
 * cortex.settings.kept_for}: deliveries that are still open then are ended as {@code expired}, the
 * month is detached, written to a compressed file with its checksum, read back, and dropped. Events
 * of a type with a {@code kept_for} of its own leave earlier, in bounded steps. Nobody who emits
 * waits for any of that. Killed at whatever moment, the next run finishes the work.
 *
 * <p>Beside that it removes what belonged to events that are gone: ids and dedupe keys, fires of
 * schedules, and rows of workers.
 *
 * <p>The login must be a member of the owner role, since nobody else may drop. Immutable and
 * thread-safe; of several runs at once on one database, one works and the others say so.
 */
public final class Archive {
  private final DataSource dataSource;
  private final Optional<Path> directory;

  private Archive(DataSource dataSource, Optional<Path> directory) {
    this.dataSource = dataSource;
    this.directory = directory;
  }

  /** Of this database, in the directory that its settings name. Uses one connection at a time. */
  public static Archive on(DataSource dataSource) {
    return new Archive(dataSource, Optional.empty());
  }

  /** The same, in this directory. */
  public Archive in(Path directory) {
    return new Archive(dataSource, Optional.of(directory.toAbsolutePath().normalize()));
  }

  /**
   * Archives and removes what is too old.
   *
   * @param stop asked between steps; once it answers true the run ends where the next can go on
   * @throws ArchiveFailedException with {@code TEMPORARY} when another run is at it; or when a file
   *     cannot be written, or the database cannot answer. Nothing is lost then
   */
  public ArchiveReport run(BooleanSupplier stop) {
    return asked(connection -> new ArchiveRun(connection, directory, stop, ArchiveRun.TRIES).run());
  }

  /** What a run would do now; changes nothing. */
  public ArchiveReport dryRun() {
    return asked(connection -> new DryRun(new ArchiveStore(connection)).run());
  }

  /** Where its files are, or will be: no run that has nothing to archive makes the directory. */
  public Path directory() {
    return asked(connection -> directory(connection).root());
  }

  /**
   * What is archived, the oldest first. {@link #verify} names what has no manifest to tell of it.
   */
  public List<ArchivedFile> list() {
    return asked(connection -> directory(connection).manifests().files());
  }

  /** Reads every file of the archive and holds it against its checksum. */
  public List<FileCheck> verify() {
    return asked(connection -> directory(connection).verify());
  }

  private ArchiveDirectory directory(Connection connection) throws SQLException {
    return ArchiveDirectory.of(directory, new ArchiveStore(connection).settings());
  }

  private interface Question<T> {
    T ask(Connection connection) throws SQLException, IOException;
  }

  private <T> T asked(Question<T> question) {
    try (Connection connection = dataSource.getConnection()) {
      return question.ask(connection);
    } catch (SQLException e) {
      throw new ArchiveFailedException(e);
    } catch (IOException e) {
      throw new ArchiveFailedException(e);
    }
  }

  static ArchiveFailedException withoutDirectory() {
    return new ArchiveFailedException(
        ErrorCode.CONFIGURATION,
        "archive: archive_directory must be set in cortex.settings, or a directory be given");
  }
}
