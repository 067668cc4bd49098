package dev.cortex.events.archive;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.util.function.BooleanSupplier;
import java.util.function.ObjLongConsumer;
import org.jspecify.annotations.Nullable;

/**
 * Removes what belonged to events that are gone: ids and dedupe keys, fires of schedules, rows of
 * workers. Each statement is bounded and commits for itself.
 */
final class RecordPruning {
  private static final int ROWS_AT_ONCE = 10_000;

  /** Steps over keys. Parameters: before when, how many, the scope and the key to go on behind. */
  private static final String PRUNE_KEYS =
      "select pruned, p_scope, p_key from cortex.prune_keys(?, ?, ?, ?)";

  /** Parameters: before when, how many. Index: fires_fired. */
  private static final String DELETE_FIRES =
      """
      delete from cortex.fires f
       using (select x.schedule, x.fire_at from cortex.fires x where x.fired_at < ? order by x.fired_at limit ?) old
       where (f.schedule, f.fire_at) = (old.schedule, old.fire_at)
      """;

  /**
   * Rows of workers that no attempt of the audit can name any more, nor one of a month that is
   * detached and has yet to be written to its file, with their names. Parameters: before when, how
   * many.
   */
  private static final String DELETE_WORKERS =
      """
      delete from cortex.workers w
       using (select x.worker_id
                from cortex.workers x
               where x.stopped_at < least(?, (select min(p.starts_at) from cortex.partitions p where p.parent = 'attempts'))
               order by x.worker_id
               limit ?) old
       where w.worker_id = old.worker_id
      """;

  private final Connection connection;
  private final BooleanSupplier isStopped;
  private final ObjLongConsumer<String> removed;

  /**
   * A pruning on a connection in auto-commit.
   *
   * @param isStopped asked before each statement; once it answers true the rest stays
   * @param removed told the kind and the number of what each statement has removed
   */
  RecordPruning(Connection connection, BooleanSupplier isStopped, ObjLongConsumer<String> removed) {
    this.connection = connection;
    this.isStopped = isStopped;
    this.removed = removed;
  }

  void prune(Instant before) throws SQLException {
    pruneKeys(before);
    prune("fires", DELETE_FIRES, before);
    prune("workers", DELETE_WORKERS, before);
  }

  private void pruneKeys(Instant before) throws SQLException {
    @Nullable String scope = null;
    @Nullable String key = null;
    try (PreparedStatement statement = connection.prepareStatement(PRUNE_KEYS)) {
      boolean isAtEnd = false;
      while (!isAtEnd && !isStopped.getAsBoolean()) {
        statement.setObject(1, ArchiveStore.time(before));
        statement.setInt(2, ROWS_AT_ONCE);
        statement.setString(3, scope);
        statement.setString(4, key);
        try (ResultSet row = statement.executeQuery()) {
          row.next();
          removed.accept("dedupe_keys", row.getLong(1));
          scope = row.getString(2);
          key = row.getString(3);
          isAtEnd = scope == null;
        }
      }
    }
  }

  private void prune(String kind, String sql, Instant before) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(sql)) {
      statement.setObject(1, ArchiveStore.time(before));
      statement.setInt(2, ROWS_AT_ONCE);
      int pruned = ROWS_AT_ONCE;
      while (pruned == ROWS_AT_ONCE && !isStopped.getAsBoolean()) {
        pruned = statement.executeUpdate();
        removed.accept(kind, pruned);
      }
    }
  }
}
