package dev.cortex.events.outbox;

import dev.cortex.events.event.Defect;
import dev.cortex.events.event.InvalidEventException;
import java.io.IOException;
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
 * simply run again.
 *
 * <p>Immutable and thread-safe. The login must be a member of the operator role.
 */
public final class Importer {
  /** An event's payload and metadata have at most 16 MiB each, whatever the settings say. */
  private static final int MAX_DOCUMENT_BYTES = 32 * 1024 * 1024;

  private final DataSource dataSource;
  private final ImportOptions options;

  /** An importer into the database of a data source, of which it uses one connection at a time. */
  public Importer(DataSource dataSource, ImportOptions options) {
    this.dataSource = dataSource;
    this.options = options;
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
        ImportSummary summary = run(new ImportRun(connection, options), paths);
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

  private static ImportSummary run(ImportRun run, List<Path> paths) throws SQLException {
    for (Path path : paths) {
      try {
        for (Path file : ArchiveFiles.under(path)) {
          read(run, file);
        }
      } catch (IOException e) {
        throw new ImportFailedException(path, e);
      }
    }
    return run.finish();
  }

  private static void read(ImportRun run, Path file) throws IOException, SQLException {
    try (DocumentReader reader = new DocumentReader(ArchiveFiles.open(file), MAX_DOCUMENT_BYTES)) {
      for (var next = reader.next(); next.isPresent(); next = reader.next()) {
        run.add(file + ":" + next.get().line(), next.get());
      }
      if (reader.damaged()) {
        run.reject(file.toString(), ArchiveFiles.whole(file), damage());
      }
    }
  }

  private static InvalidEventException damage() {
    return new InvalidEventException(
        Defect.DAMAGED_FILE, "file", "must be compressed without damage, is not to its end");
  }
}
