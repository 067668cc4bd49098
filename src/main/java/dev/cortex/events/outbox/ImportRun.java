package dev.cortex.events.outbox;

import dev.cortex.events.database.DatabaseFault;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.InvalidEventException;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * One import: gathers documents into batches and writes each batch in a transaction of its own. A
 * batch that the database refuses is halved until what it refuses stands alone, and only that is
 * quarantined.
 */
final class ImportRun {
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
  private final List<Candidate> candidates = new ArrayList<>();
  private final List<Rejected> rejected = new ArrayList<>();
  private long bytes;
  private ImportSummary summary = ImportSummary.nothing();

  /** A run on a connection that is not in autocommit. */
  ImportRun(Connection connection, ImportOptions options) {
    this.connection = connection;
    this.options = options;
    this.store = new ImportStore(connection);
  }

  /** Takes a document in. */
  void add(String origin, Document document) throws SQLException {
    try {
      EventDraft draft = ArchivedEvent.read(document, options.olderLines());
      candidates.add(new Candidate(origin, document, draft));
    } catch (InvalidEventException e) {
      rejected.add(new Rejected(origin, document, e));
    }
    added(document);
  }

  /** Takes in what is known to be no event. */
  void reject(String origin, Document document, InvalidEventException refusal) throws SQLException {
    rejected.add(new Rejected(origin, document, refusal));
    added(document);
  }

  private void added(Document document) throws SQLException {
    bytes += document.bytes().length;
    if (candidates.size() + rejected.size() >= MAX_EVENTS || bytes >= MAX_BYTES) {
      flush();
    }
  }

  /** Writes what is left, and says what became of all. */
  ImportSummary finish() throws SQLException {
    flush();
    if (options.dryRun()) {
      connection.rollback();
    }
    return summary;
  }

  private void flush() throws SQLException {
    for (int tries = 1; ; tries++) {
      try {
        summary = write(summary);
        if (!options.dryRun()) {
          connection.commit();
        }
        break;
      } catch (SQLException e) {
        if (tries == MAX_TRIES || options.dryRun() || !isContention(e)) {
          throw e;
        }
        connection.rollback();
      }
    }
    candidates.clear();
    rejected.clear();
    bytes = 0;
  }

  private static boolean isContention(SQLException e) {
    return DatabaseFault.of(e).filter(DatabaseFault.CONTENTION::equals).isPresent();
  }

  private ImportSummary write(ImportSummary before) throws SQLException {
    ImportSummary after = before;
    for (Rejected each : rejected) {
      after = quarantine(after, each.origin(), each.document(), each.refusal());
    }
    return candidates.isEmpty() ? after : record(after, candidates);
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
    store.quarantine(origin, refusal.defect(), detail(refusal), document);
    return before.plusQuarantined(refusal.defect());
  }

  private static String detail(InvalidEventException refusal) {
    return refusal.field() + " " + refusal.rule();
  }

  private static List<EventDraft> drafts(List<Candidate> batch) {
    return batch.stream().map(Candidate::draft).toList();
  }

  private boolean logOnly() {
    return !options.deliver() || options.dryRun();
  }
}
