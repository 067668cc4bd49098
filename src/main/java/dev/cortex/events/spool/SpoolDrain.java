package dev.cortex.events.spool;

import dev.cortex.events.event.Defect;
import dev.cortex.events.event.ErrorCode;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.InvalidEventException;
import dev.cortex.events.file.LockedFile;
import dev.cortex.events.outbox.EmitFailedException;
import dev.cortex.events.outbox.Outbox;
import dev.cortex.events.outbox.Quarantine;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.attribute.FileTime;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;

/**
 * Moves what waits into the log, file by file. A file is removed when all of it is committed; a
 * process that dies before that leaves it, and what was committed is known by its id when the file
 * is read again.
 */
final class SpoolDrain {
  /** A batch that is refused is recorded again in halves. */
  private static final int MAX_EVENTS = 500;

  private static final long MAX_BYTES = 8L * 1024 * 1024;

  /** Of a file that is not read: enough to see what it is. */
  private static final int HEAD_BYTES = 4096;

  /** An emitter of the same ids is met once or twice, not five times in a row. */
  private static final int MAX_TRIES = 5;

  /** A line and the event that it holds. */
  private static final class Waiting {
    private final String origin;
    private final byte[] line;
    private final EventDraft draft;

    private Waiting(String origin, byte[] line) {
      this.origin = origin;
      this.line = line;
      this.draft = SpoolLine.read(line);
    }

    private EventDraft draft() {
      return draft;
    }
  }

  private final SpoolDirectory directory;
  private final Connection connection;
  private final Outbox outbox = new Outbox();
  private final Quarantine quarantine;
  private DrainSummary summary = DrainSummary.NOTHING;

  SpoolDrain(SpoolDirectory directory, Connection connection) {
    this.directory = directory;
    this.connection = connection;
    this.quarantine = new Quarantine(connection);
  }

  DrainSummary drain() throws IOException, SQLException {
    if (!directory.exists()) {
      return summary;
    }
    Optional<LockedFile> lock = directory.tryDrainLock();
    if (lock.isEmpty()) {
      return summary.plusLeft(directory.files().size());
    }
    try {
      return drain(directory.files());
    } finally {
      lock.get().close();
    }
  }

  private DrainSummary drain(List<SpoolFile> files) throws IOException, SQLException {
    boolean before = connection.getAutoCommit();
    connection.setAutoCommit(false);
    boolean isWhole = false;
    try {
      Set<String> waiting = new HashSet<>(); // of such a writer nothing later may go first
      for (SpoolFile file : files) {
        if (waiting.contains(file.writer()) || !drain(file.taken())) {
          waiting.add(file.writer());
          summary = summary.plusLeft(1);
        }
      }
      isWhole = true;
      return summary;
    } finally {
      if (!isWhole) {
        connection.rollback();
      }
      connection.setAutoCommit(before);
    }
  }

  /** Whether all of the file is where it belongs. */
  private boolean drain(SpoolFile file) throws IOException, SQLException {
    if (file.isTooLarge()) {
      setAsideUnread(file);
      return true;
    }
    FileTime written = file.written();
    SpoolFile.Content content = file.read();
    if (file.writtenUntil(content, written).filter(Instant.now()::isBefore).isPresent()) {
      return false;
    }
    long damagedBefore = summary.damaged();
    deliver(file, content.lines());
    if (summary.damaged() > damagedBefore) {
      directory.setAside(file.path());
    } else {
      Files.deleteIfExists(file.path());
    }
    return true;
  }

  /** No writer of ours makes one, so it is for a person to say what it is. */
  private void setAsideUnread(SpoolFile file) throws IOException, SQLException {
    quarantine(
        "spool " + file.path(),
        file.head(HEAD_BYTES),
        new InvalidEventException(
            Defect.DAMAGED_LINE,
            "event",
            "must be in a file of at most %d bytes; all of this one, of %d, is kept unread in damaged"
                .formatted(SpoolFile.MAX_BYTES, file.size())));
    connection.commit();
    directory.setAside(file.path());
  }

  private void deliver(SpoolFile file, List<byte[]> lines) throws SQLException {
    List<Waiting> batch = new ArrayList<>();
    long bytes = 0;
    int number = 0;
    for (byte[] line : lines) {
      String origin = "spool %s:%d".formatted(file.path(), ++number);
      try {
        batch.add(new Waiting(origin, line));
        bytes += line.length;
      } catch (InvalidEventException e) {
        quarantine(origin, line, e);
        connection.commit();
      }
      if (batch.size() == MAX_EVENTS || bytes >= MAX_BYTES) {
        record(batch);
        batch.clear();
        bytes = 0;
      }
    }
    record(batch);
  }

  /** In the order of the batch; what the database refuses is found by halving. */
  private void record(List<Waiting> batch) throws SQLException {
    if (batch.isEmpty()) {
      return;
    }
    try {
      emit(batch);
      summary = summary.plusDelivered(batch.size());
    } catch (InvalidEventException e) {
      connection.rollback();
      if (batch.size() > 1) {
        int middle = batch.size() / 2;
        record(batch.subList(0, middle));
        record(batch.subList(middle, batch.size()));
      } else {
        quarantine(batch.get(0).origin, batch.get(0).line, e);
        connection.commit();
      }
    }
  }

  private void emit(List<Waiting> batch) throws SQLException {
    for (int tries = 1; ; tries++) {
      try {
        outbox.emitAll(connection, batch.stream().map(Waiting::draft).toList());
        connection.commit();
        return;
      } catch (EmitFailedException e) {
        if (e.code() != ErrorCode.TEMPORARY || tries == MAX_TRIES) {
          throw e;
        }
        connection.rollback();
      }
    }
  }

  private void quarantine(String origin, byte[] line, InvalidEventException refusal)
      throws SQLException {
    quarantine.keep(origin, refusal, line);
    summary =
        refusal.defect() == Defect.DAMAGED_LINE ? summary.plusDamaged() : summary.plusQuarantined();
  }
}
