package dev.cortex.events.archive;

import dev.cortex.events.archive.ArchiveStore.Expiry;
import dev.cortex.events.archive.Retention.TypeRetention;
import dev.cortex.events.database.DatabaseFault;
import dev.cortex.events.event.ErrorCode;
import java.io.IOException;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.BooleanSupplier;

/**
 * One run. The order of a month's steps is what makes it safe to be killed between any two:
 *
 * <ol>
 *   <li>End its open deliveries. Whatever a worker holds stays, and the month with it.
 *   <li>Under the retention lock, which keeps replays out, see that none is open, and detach the
 *       month without being in the emitters' way. From here on nobody writes to it.
 *   <li>End what an emitter that stayed open for longer than a month is kept has delivered late.
 *   <li>Write its file, make it durable, then its manifest; read the file back.
 *   <li>Drop it, if it has the rows that the file has.
 * </ol>
 *
 * A run begins with what an earlier one left detached or half detached, and goes on from there.
 */
final class ArchiveRun {
  private static final int DELIVERIES_AT_ONCE = 10_000;
  private static final int BLOCKS_AT_ONCE = 64;
  private static final int EVENTS_AT_ONCE = 5_000;

  /**
   * One file's events of a type: bounds the memory for their numbers. More are in the next file.
   */
  private static final int EVENTS_OF_A_FILE = 200_000;

  /** Each waits for up to two seconds for a lock; then the rest is the next run's. */
  static final int TRIES = 15;

  private static final Duration PAUSE = Duration.ofMillis(500);

  private static final DateTimeFormatter SECOND =
      DateTimeFormatter.ofPattern("uuuuMMdd'T'HHmmss'Z'").withZone(ZoneOffset.UTC);

  private final Connection connection;
  private final ArchiveStore store;
  private final Optional<Path> given;
  private final BooleanSupplier stop;
  private final int mostTries;

  private final Map<String, Long> removed = new LinkedHashMap<>();
  private final List<ArchivedFile> files = new ArrayList<>();
  private final List<String> postponed = new ArrayList<>();
  private final List<ArchivedFile> known = new ArrayList<>();
  private final List<String> unreadable = new ArrayList<>();
  private long expired;
  private boolean stopped;

  ArchiveRun(Connection connection, Optional<Path> given, BooleanSupplier stop, int mostTries) {
    this.connection = connection;
    this.store = new ArchiveStore(connection);
    this.given = given;
    this.stop = stop;
    this.mostTries = mostTries;
  }

  ArchiveReport run() throws SQLException, IOException {
    if (!store.tryRunLock()) {
      throw new ArchiveFailedException(
          ErrorCode.TEMPORARY, "archive: another run must end first; try again");
    }
    try {
      store.waitShortly();
      archive();
    } finally {
      store.waitAsBefore();
      store.releaseRunLock();
    }
    boolean complete = postponed.isEmpty() && unreadable.isEmpty() && !stopped;
    return new ArchiveReport(removed, expired, files, postponed, unreadable, complete);
  }

  private void archive() throws SQLException, IOException {
    Retention retention = store.settings();
    for (String kind : List.of("events", "attempts", "dedupe_keys", "fires", "workers")) {
      removed.put(kind, 0L);
    }
    List<Partition> due =
        store.partitions().stream().filter(each -> isDue(each, retention)).toList();
    if (!store.isOwner()) {
      onlyOwnersMay(due, retention);
      return;
    }
    if (!due.isEmpty() || !retention.types().isEmpty()) {
      into(ArchiveDirectory.of(given, retention), due, retention);
    }
    new RecordPruning(
            connection, this::isStopped, (kind, rows) -> removed.merge(kind, rows, Long::sum))
        .prune(retention.recordsKeptFrom());
  }

  @SuppressWarnings("try") // the label is held, not used
  private void into(ArchiveDirectory directory, List<Partition> due, Retention retention)
      throws SQLException, IOException {
    try (DirectoryLabel label = directory.take(retention)) {
      ArchiveDirectory.Manifests manifests = directory.manifests();
      known.addAll(manifests.files());
      unreadable.addAll(manifests.unreadable());
      for (Partition partition : due) {
        month(partition, retention, directory);
      }
      for (TypeRetention type : retention.types()) {
        oldEventsOf(type, retention, directory);
      }
    }
  }

  /** With nothing to keep for less than ever, there is nothing that an owner is missed for. */
  private static void onlyOwnersMay(List<Partition> due, Retention retention) {
    if (!due.isEmpty() || !retention.isUnlimited()) {
      throw new ArchiveFailedException(
          ErrorCode.NOT_PERMITTED,
          "archive: the login must be a member of the owner role, since what is older than kept_for"
              + " is to be removed");
    }
  }

  /** What was detached once is not attached again, whatever the settings say by now. */
  static boolean isDue(Partition partition, Retention retention) {
    return !partition.isAttached()
        || retention.keptFrom().filter(kept -> !partition.endsAt().isAfter(kept)).isPresent();
  }

  private boolean isStopped() {
    stopped = stopped || stop.getAsBoolean();
    return stopped;
  }

  private void month(Partition partition, Retention retention, ArchiveDirectory directory)
      throws SQLException, IOException {
    if (isStopped() || (!partition.isOfEvents() && isNeeded(partition))) {
      return;
    }
    long busy = expire(partition);
    if (!detach(partition, busy)) {
      return;
    }
    expire(partition);
    Optional<ArchivedFile> file = file(partition, retention, directory);
    if (file.isPresent() && !isStopped()) {
      store.drop(partition, file.get().rows());
      removed.merge(partition.parent(), file.get().rows(), Long::sum);
    }
  }

  /** The audit of a month tells of events of that month or before: it leaves after them. */
  private boolean isNeeded(Partition audit) throws SQLException {
    boolean needed =
        store.partitions().stream()
            .anyMatch(each -> each.isOfEvents() && !each.startsAt().isAfter(audit.startsAt()));
    if (needed) {
      postponed.add(audit.name() + ": events of that month or before are still there");
    }
    return needed;
  }

  private long expire(Partition partition) throws SQLException {
    return partition.isOfEvents()
        ? expire(partition.startsAt(), partition.endsAt(), Optional.empty())
        : 0;
  }

  /** Returns how many were passed over, at least, since somebody works in their lanes. */
  private long expire(Instant from, Instant until, Optional<List<String>> types)
      throws SQLException {
    Expiry step;
    do {
      step = store.expire(from, until, types.orElse(null), DELIVERIES_AT_ONCE);
      expired += step.ended();
    } while (step.looked() == DELIVERIES_AT_ONCE && step.ended() > 0 && !isStopped());
    return step.busy();
  }

  /** Whether it is detached now. */
  private boolean detach(Partition partition, long busy) throws SQLException {
    Partition current = partition;
    for (int tries = 1; current.isAttached() || current.isDetaching(); tries++) {
      if (isStopped()) {
        return false;
      }
      if (tries > mostTries) {
        postponed.add(current.name() + ": a transaction that has used it is still open");
        return false;
      }
      Optional<String> obstacle = tryToDetach(current, busy);
      if (obstacle.isPresent()) {
        postponed.add(current.name() + ": " + obstacle.get());
        return false;
      }
      current = state(current.name());
    }
    return true;
  }

  private Partition state(String name) throws SQLException {
    return store.partitions().stream()
        .filter(each -> each.name().equals(name))
        .findFirst()
        .orElseThrow(() -> new IllegalStateException(name + " is gone"));
  }

  /**
   * One try, after which its state is to be looked at; what is in the way for long, if anything.
   */
  private Optional<String> tryToDetach(Partition partition, long busy) throws SQLException {
    try {
      if (partition.isDetaching()) {
        store.finishDetaching(partition);
        return Optional.empty();
      }
      store.takeRetentionLock();
      try {
        long open = partition.isOfEvents() ? store.openDeliveries(partition) : 0;
        if (open > 0) {
          return Optional.of(
              busy == 0
                  ? open + " deliveries are running"
                  : "%d deliveries are open, %d of them in lanes that are busy"
                      .formatted(open, busy));
        }
        store.detach(partition);
        return Optional.empty();
      } finally {
        store.releaseRetentionLock();
      }
    } catch (SQLException e) {
      if (!passes(e)) {
        throw e;
      }
      pause();
      return Optional.empty();
    }
  }

  private static boolean passes(SQLException e) {
    return DatabaseFault.of(e)
        .filter(
            fault ->
                fault == DatabaseFault.CONTENTION || fault == DatabaseFault.STATEMENT_CANCELLED)
        .isPresent();
  }

  private void pause() {
    try {
      Thread.sleep(PAUSE.toMillis());
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
      stopped = true;
    }
  }

  /** The file of a detached month: found whole, or written; empty when told to stop. */
  private Optional<ArchivedFile> file(
      Partition partition, Retention retention, ArchiveDirectory directory)
      throws SQLException, IOException {
    String identity = retention.server() + "/" + partition.oid();
    directory.prepare(partition.stem());
    for (ArchivedFile file : known) {
      if (file.identity().equals(identity)
          && file.database().equals(retention.database())
          && file.of().equals(partition.name())
          && directory.defect(file).isEmpty()) {
        files.add(file);
        return Optional.of(file);
      }
    }
    String name = directory.freeName(partition.stem(), partition.suffix());
    try (ArchiveWriter writer = ArchiveWriter.open(directory, name)) {
      long blocks = store.blocks(partition);
      for (long block = 0; block < blocks; block += BLOCKS_AT_ONCE) {
        if (isStopped()) {
          return Optional.empty();
        }
        store.lines(partition, block, BLOCKS_AT_ONCE, (id, at, line) -> writer.add(line));
      }
      ArchivedFile file =
          writer.finish(
              partition.parent(),
              partition.name(),
              retention.database(),
              identity,
              retention.now());
      return Optional.of(readBack(file, directory));
    }
  }

  private ArchivedFile readBack(ArchivedFile file, ArchiveDirectory directory) throws IOException {
    Optional<String> defect = directory.defect(file);
    if (defect.isPresent()) {
      throw new IOException(file.name() + " " + defect.get() + ", as read back");
    }
    files.add(file);
    return file;
  }

  /**
   * Events of one type, in files of a bounded size, each followed by the deleting of what it has.
   */
  private void oldEventsOf(TypeRetention type, Retention retention, ArchiveDirectory directory)
      throws SQLException, IOException {
    if (isStopped()) {
      return;
    }
    long busy = expire(Instant.EPOCH, type.keptFrom(), Optional.of(type.names()));
    if (busy > 0) {
      postponed.add(type.type() + ": " + busy + " deliveries are in lanes that are busy");
    }
    long after = 0;
    boolean isDeleting = true;
    while (isDeleting && !isStopped() && store.hasOldEvents(type, after)) {
      String name =
          directory.freeName(
              "events/" + type.type() + "-" + SECOND.format(retention.now()), ".jsonl.gz");
      ArchivedRows rows;
      try (ArchiveWriter writer = ArchiveWriter.open(directory, name)) {
        rows = written(type, after, writer);
        if (isStopped()) {
          return;
        }
        readBack(
            writer.finish(
                "events", type.type(), retention.database(), retention.server(), retention.now()),
            directory);
      }
      after = rows.lastId();
      isDeleting = delete(type, rows);
    }
  }

  private ArchivedRows written(TypeRetention type, long after, ArchiveWriter writer)
      throws SQLException, IOException {
    ArchivedRows rows = new ArchivedRows();
    int before;
    do {
      before = rows.size();
      store.oldEvents(
          type,
          Math.max(after, rows.lastId()),
          EVENTS_AT_ONCE,
          (id, at, line) -> {
            writer.add(line);
            rows.add(id, at);
          });
    } while (rows.size() - before == EVENTS_AT_ONCE
        && rows.size() < EVENTS_OF_A_FILE
        && !isStopped());
    return rows;
  }

  /** Whether all of them are; what stays is written again by the next run, so no more is now. */
  private boolean delete(TypeRetention type, ArchivedRows rows) throws SQLException {
    for (ArchivedRows piece : rows.pieces(EVENTS_AT_ONCE)) {
      for (int tries = 1; !isStopped(); tries++) {
        try {
          store.takeRetentionLock();
          try {
            removed.merge("events", store.deleteEvents(piece), Long::sum);
          } finally {
            store.releaseRetentionLock();
          }
          break;
        } catch (SQLException e) {
          if (!passes(e)) {
            throw e;
          }
          if (tries >= mostTries) {
            postponed.add(type.type() + ": others work on its events");
            return false;
          }
          pause();
        }
      }
    }
    return !isStopped();
  }
}
