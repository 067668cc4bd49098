package dev.cortex.events.outbox;

import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;
import javax.sql.DataSource;

/**
 * Takes archives in as they are: {@code .json} files with one event over many lines, {@code .jsonl}
 * files with several on a line or one over several lines, and either compressed as {@code .gz}.
 * What is no event is quarantined with its origin ({@code file:line}), the reason and its bytes;
 * nothing that was read is lost. Importing the same archive again changes nothing.
 *
 * <p>Reads with bounded memory, and writes batches of at most 500 documents, each in a transaction
 * of its own on one connection; an import that is interrupted has recorded whole batches, and is
 * simply run again: what the log has is only looked up, and not written.
 *
 * <p>Immutable and thread-safe. The login must be a member of the operator role.
 */
public final class Importer {
  private final DataSource dataSource;
  private final ImportOptions options;
  private final ImportProgress progress;

  /** An importer into the database of a data source, of which it uses one connection at a time. */
  public Importer(DataSource dataSource, ImportOptions options) {
    this(dataSource, options, ImportProgress.untold());
  }

  private Importer(DataSource dataSource, ImportOptions options, ImportProgress progress) {
    this.dataSource = dataSource;
    this.options = options;
    this.progress = progress;
  }

  /** The same, telling how it gets on. */
  public Importer telling(ImportProgress progress) {
    return new Importer(dataSource, options, progress);
  }

  /**
   * Imports files and directories, in this order; of a directory all {@code .json}, {@code .jsonl},
   * {@code .json.gz} and {@code .jsonl.gz} files in it and below, in the order of their paths.
   *
   * @return what became of every document; in a dry run what would have
   * @throws ImportFailedException when a file cannot be read
   * @throws EmitFailedException when the database cannot record
   */
  public ImportSummary run(List<Path> paths) {
    try (Connection connection = dataSource.getConnection()) {
      connection.setAutoCommit(false);
      boolean finished = false;
      try {
        ImportSummary summary = new ImportRun(connection, options, progress).run(paths);
        finished = true;
        return summary;
      } finally {
        if (!finished) {
          connection.rollback();
        }
        connection.setAutoCommit(true);
      }
    } catch (SQLException e) {
      throw new EmitFailedException(e);
    }
  }
}
