package dev.cortex.events.outbox;

import dev.cortex.events.database.DatabaseFault;
import dev.cortex.events.event.Defect;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.InvalidEventException;
import dev.cortex.events.outbox.ImportStore.Rehearsed;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Savepoint;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * One import: gathers documents into batches and writes each batch in a transaction of its own. A
 * batch that the database refuses is halved until what it refuses stands alone, and only that is
 * quarantined.
 */
final class ImportRun {
  /** An event's payload and metadata have at most 16 MiB each, whatever the settings say. */
  private static final int MAX_DOCUMENT_BYTES = 32 * 1024 * 1024;

  /** Larger is hardly faster, and a refused batch is written again in halves. */
  private static final int MAX_EVENTS = 500;

  /** Bounds what a batch of large documents holds in memory. */
  private static final long MAX_BYTES = 8L * 1024 * 1024;

  /** A rival import or emitter of the same ids is met once or twice, not five times in a row. */
  private static final int MAX_TRIES = 5;

  private record Candidate(String origin, Document document, EventDraft draft) {}

  private record Rejected(String origin, Document document, InvalidEventException refusal) {}

  private final Connection connection;
  private final ImportOptions options;
  private final ImportStore store;
  private final Quarantine quarantine;
  private final ImportProgress progress;
  private final List<Candidate> candidates = new ArrayList<>();
  private final List<Rejected> rejected = new ArrayList<>();
  private long bytes;
  private boolean isRehearsing;
  private ImportSummary summary = ImportSummary.nothing();

  private long bytesRead;
  private long bytesInAll;

  /** A run on a connection that is not in autocommit. */
  ImportRun(Connection connection, ImportOptions options, ImportProgress progress) {
    this.connection = connection;
    this.options = options;
    this.store = new ImportStore(connection);
    this.quarantine = new Quarantine(connection);
    this.progress = progress;
  }

  /** Reads all of this, and says what became of it. */
  ImportSummary run(List<Path> paths) throws SQLException {
    List<Path> files = new ArrayList<>();
    for (Path path : paths) {
      reading(path, () -> files.addAll(ArchiveFiles.under(path)));
    }
    for (Path file : files) {
      reading(file, () -> bytesInAll += Files.size(file));
    }
    for (Path file : files) {
      reading(file, () -> read(file));
    }
    flush();
    return summary;
  }

  private interface Reading {
    void read() throws IOException, SQLException;
  }

  private static void reading(Path path, Reading reading) throws SQLException {
    try {
      reading.read();
    } catch (IOException e) {
      throw new ImportFailedException(path, e);
    }
  }

  private void read(Path file) throws IOException, SQLException {
    try (InputStream bytes = ArchiveFiles.open(file, taken -> bytesRead += taken);
        DocumentReader reader = new DocumentReader(bytes, MAX_DOCUMENT_BYTES)) {
      boolean isEmpty = true;
      for (var next = reader.next(); next.isPresent(); next = reader.next()) {
        isEmpty = false;
        add(file + ":" + next.get().line(), next.get());
      }
      if (reader.damaged()) {
        reject(file.toString(), ArchiveFiles.whole(file), damage());
      } else if (isEmpty && ArchiveFiles.isOfOneEvent(file)) {
        reject(file.toString(), ArchiveFiles.nothingOf(file), emptiness());
      }
    }
  }

  private static InvalidEventException damage() {
    return new InvalidEventException(
        Defect.DAMAGED_FILE, "file", "must be compressed without damage, is not to its end");
  }

  private static InvalidEventException emptiness() {
    return new InvalidEventException(
        Defect.INVALID_JSON, "file", "must hold an event, holds nothing");
  }

  private void add(String origin, Document document) throws SQLException {
    try {
      EventDraft draft = ArchivedEvent.read(document, options.olderLines());
      candidates.add(new Candidate(origin, document, draft));
    } catch (InvalidEventException e) {
      rejected.add(new Rejected(origin, document, e));
    }
    added(document);
  }

  private void reject(String origin, Document document, InvalidEventException refusal)
      throws SQLException {
    rejected.add(new Rejected(origin, document, refusal));
    added(document);
  }

  private void added(Document document) throws SQLException {
    bytes += document.bytes().length;
    if (candidates.size() + rejected.size() >= MAX_EVENTS || bytes >= MAX_BYTES) {
      flush();
    }
  }

  private void flush() throws SQLException {
    for (int tries = 1; ; tries++) {
      try {
        summary = options.dryRun() ? rehearse(summary) : write(summary, candidates);
        connection.commit();
        break;
      } catch (SQLException e) {
        if (tries == MAX_TRIES || !isContention(e)) {
          throw e;
        }
        connection.rollback();
      }
    }
    candidates.clear();
    rejected.clear();
    bytes = 0;
    progress.advanced(bytesRead, bytesInAll, summary);
  }

  private static boolean isContention(SQLException e) {
    return DatabaseFault.of(e).filter(DatabaseFault.CONTENTION::equals).isPresent();
  }

  /** Writes and takes back, and remembers the ids, which a later batch may repeat. */
  private ImportSummary rehearse(ImportSummary before) throws SQLException {
    if (!isRehearsing) {
      store.beginRehearsal();
      connection.commit(); // a batch that clashes takes nothing of it back
      isRehearsing = true;
    }
    ImportSummary after = before;
    List<Candidate> batch = new ArrayList<>();
    List<Rehearsed> seen = store.rehearsed(drafts(candidates));
    for (int i = 0; i < seen.size(); i++) {
      switch (seen.get(i)) {
        case NEW -> batch.add(candidates.get(i));
        case REPETITION -> after = after.plusEvents(0, 1);
        case CONFLICT -> after = after.plusQuarantined(Defect.CONFLICT);
      }
    }
    Savepoint savepoint = connection.setSavepoint();
    after = write(after, batch);
    connection.rollback(savepoint);
    connection.releaseSavepoint(savepoint);
    store.rememberRehearsed(drafts(batch));
    return after;
  }

  private ImportSummary write(ImportSummary before, List<Candidate> batch) throws SQLException {
    ImportSummary after = before;
    for (Rejected each : rejected) {
      after = quarantine(after, each.origin(), each.document(), each.refusal());
    }
    return batch.isEmpty() ? after : record(after, batch);
  }

  private ImportSummary record(ImportSummary before, List<Candidate> batch) throws SQLException {
    try {
      int accepted =
          AllOrNothing.inSavepoint(connection, () -> store.record(drafts(batch), logOnly()));
      return before.plusEvents(accepted, batch.size() - accepted);
    } catch (SQLException e) {
      Optional<InvalidEventException> refusal = Refusal.ofEvent(e);
      if (refusal.isEmpty()) {
        throw e;
      }
      return batch.size() == 1
          ? quarantine(before, batch.get(0).origin(), batch.get(0).document(), refusal.get())
          : recordHalves(before, batch);
    }
  }

  private ImportSummary recordHalves(ImportSummary before, List<Candidate> batch)
      throws SQLException {
    int middle = batch.size() / 2;
    ImportSummary between = record(before, batch.subList(0, middle));
    return record(between, batch.subList(middle, batch.size()));
  }

  private ImportSummary quarantine(
      ImportSummary before, String origin, Document document, InvalidEventException refusal)
      throws SQLException {
    return quarantine.keep(origin, refusal, document)
        ? before.plusQuarantined(refusal.defect())
        : before.plusEvents(0, 1);
  }

  private static List<EventDraft> drafts(List<Candidate> batch) {
    return batch.stream().map(Candidate::draft).toList();
  }

  private boolean logOnly() {
    return !options.deliver() || options.dryRun();
  }
}
