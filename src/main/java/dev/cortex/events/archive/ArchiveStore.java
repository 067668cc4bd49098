package dev.cortex.events.archive;

import dev.cortex.events.archive.Retention.TypeRetention;
import java.io.IOException;
import java.nio.file.Path;
import java.sql.Array;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/** What an archive run asks the database, each statement for itself in auto-commit unless said. */
final class ArchiveStore {
  /** Rows held in memory while a page of lines is read. */
  private static final int FETCH = 50;

  /** One row: the settings, as moments. Null: kept for ever; no directory. */
  private static final String SETTINGS =
      """
      select statement_timestamp() as now,
             statement_timestamp() - s.kept_for as kept_from,
             statement_timestamp() - greatest(s.records_kept_for, s.kept_for) as records_kept_from,
             s.archive_directory,
             current_database() as database,
             (select c.system_identifier from pg_catalog.pg_control_system() c) as server
        from cortex.settings s
      """;

  /** The types with a retention of their own, each with all its names in the log. */
  private static final String TYPES =
      """
      select t.type, statement_timestamp() - t.kept_for as kept_from,
             array(select a.type from cortex.event_types a where t.type in (a.type, a.alias_of)) as names
        from cortex.event_types t
       where t.kept_for is not null
       order by t.type
      """;

  /** Every month, those of the log before those of the audit. */
  private static final String PARTITIONS =
      """
      select p.partition, p.parent, p.starts_at, p.ends_at, p.state,
             format('cortex.%I', p.partition)::regclass::oid::bigint as oid
        from cortex.partitions p
       order by p.starts_at, p.parent desc
      """;

  /** Up to 10,001. Parameters: from, until. Reads the queue. */
  private static final String OPEN_DELIVERIES =
      """
      select count(*)
        from (select from cortex.deliveries d where d.event_at >= ? and d.event_at < ? limit 10001) few
      """;

  /**
   * The next page of a type's events that are too old and that nothing is open for. Parameters:
   * names, until, after, limit.
   */
  private static final String OLD_EVENTS =
      """
      select e.id, e.received_at,
             cortex.archive_line(e.id, e.received_at, e.occurred_at, e.run_at, e.priority, e.type, e.source, e.event_id,
                                 e.correlation_id, e.causation_id, e.key, e.dedupe_key, e.payload, e.metadata,
                                 e.extensions) as line
        from cortex.events e
       where e.type = any (?)
         and e.received_at < ?
         and e.id > ?
         and not exists (select from cortex.deliveries d where d.event = e.id and d.event_at = e.received_at)
       order by e.id
       limit ?
      """;

  /**
   * Deletes archived events, all but those that a delivery was made for meanwhile. Parameters:
   * numbers, times of receipt, the least and the greatest of either. To be called with the
   * retention lock held.
   */
  private static final String DELETE_EVENTS =
      """
      delete from cortex.events e
       using unnest(?::bigint[], ?::timestamptz[]) a(id, received_at)
       where e.id = a.id
         and e.received_at = a.received_at
         and e.id between ? and ?
         and e.received_at between ? and ?
         and not exists (select from cortex.deliveries d where d.event = e.id and d.event_at = e.received_at)
      """;

  private final Connection connection;

  ArchiveStore(Connection connection) {
    this.connection = connection;
  }

  Retention settings() throws SQLException {
    List<TypeRetention> types = types();
    try (Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(SETTINGS)) {
      row.next();
      return new Retention(
          moment(row, "now"),
          Optional.ofNullable(row.getObject("kept_from", OffsetDateTime.class))
              .map(OffsetDateTime::toInstant),
          moment(row, "records_kept_from"),
          types,
          Optional.ofNullable(row.getString("archive_directory")).map(Path::of),
          row.getString("database"),
          row.getString("server"));
    }
  }

  private List<TypeRetention> types() throws SQLException {
    List<TypeRetention> types = new ArrayList<>();
    try (Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(TYPES)) {
      while (row.next()) {
        String[] names = (String[]) row.getArray("names").getArray();
        types.add(
            new TypeRetention(row.getString("type"), List.of(names), moment(row, "kept_from")));
      }
    }
    return types;
  }

  List<Partition> partitions() throws SQLException {
    List<Partition> partitions = new ArrayList<>();
    try (Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(PARTITIONS)) {
      while (row.next()) {
        partitions.add(
            new Partition(
                row.getString("partition"),
                row.getString("parent"),
                moment(row, "starts_at"),
                moment(row, "ends_at"),
                row.getString("state"),
                row.getLong("oid")));
      }
    }
    return partitions;
  }

  /** Whether this session may detach and drop. */
  boolean isOwner() throws SQLException {
    return number(
            """
            select pg_has_role(c.relowner, 'usage')::int
              from pg_catalog.pg_class c
             where c.oid = 'cortex.events'::regclass
            """)
        == 1;
  }

  /** Session-wide: one run at a time. */
  boolean tryRunLock() throws SQLException {
    return number("select pg_try_advisory_lock(hashtextextended('cortex.archive_run', 0))::int")
        == 1;
  }

  void releaseRunLock() throws SQLException {
    execute("select pg_advisory_unlock(hashtextextended('cortex.archive_run', 0))");
  }

  /** Keeps out, session-wide, whoever makes deliveries for old events; waits shortly. */
  void takeRetentionLock() throws SQLException {
    execute("select pg_advisory_lock(cortex.log_lock_key())");
  }

  void releaseRetentionLock() throws SQLException {
    execute("select pg_advisory_unlock(cortex.log_lock_key())");
  }

  /**
   * Gives up on a lock after a short time, so that who queues behind this session waits no longer.
   */
  void waitShortly() throws SQLException {
    execute("set lock_timeout = '2s'");
  }

  void waitAsBefore() throws SQLException {
    execute("reset lock_timeout");
  }

  long openDeliveries(Partition partition) throws SQLException {
    return number(OPEN_DELIVERIES, time(partition.startsAt()), time(partition.endsAt()));
  }

  /**
   * What became of open deliveries.
   *
   * @param looked at how many, at most as many as were asked for
   * @param ended those of them that are ended; the others are in lanes in which somebody works
   */
  record Expiry(long looked, long ended) {
    long busy() {
      return looked - ended;
    }
  }

  /** Ends open deliveries, at most so many. */
  Expiry expire(Instant from, Instant until, @Nullable List<String> types, int limit)
      throws SQLException {
    @Nullable Array names =
        types == null ? null : connection.createArrayOf("text", types.toArray());
    try (PreparedStatement statement =
            prepared(
                "select looked, ended from cortex.expire_deliveries(?, ?, ?, ?)",
                time(from),
                time(until),
                names,
                limit);
        ResultSet row = statement.executeQuery()) {
      row.next();
      return new Expiry(row.getLong(1), row.getLong(2));
    }
  }

  /** Gives up after a few seconds, in which somebody else may wait for the retention lock. */
  void detach(Partition partition) throws SQLException {
    executeShortly(
        text(
            "select format('alter table cortex.%I detach partition cortex.%I concurrently', ?, ?)",
            partition.parent(), partition.name()));
  }

  void finishDetaching(Partition partition) throws SQLException {
    executeShortly(
        text(
            "select format('alter table cortex.%I detach partition cortex.%I finalize', ?, ?)",
            partition.parent(), partition.name()));
  }

  /** How many blocks a partition has. */
  long blocks(Partition partition) throws SQLException {
    return number(
        "select pg_relation_size(?::oid) / current_setting('block_size')::int", partition.oid());
  }

  interface Line {
    void take(long id, Instant receivedAt, String line) throws IOException;
  }

  /** The lines of some blocks of a detached partition, in a transaction. */
  void lines(Partition partition, long block, int blocks, Line line)
      throws SQLException, IOException {
    read(
        "select id, null as received_at, line from cortex.archive_lines(?, ?, ?)",
        line,
        partition.name(),
        block,
        blocks);
  }

  /** A page of a type's events that are too old, in a transaction. */
  void oldEvents(TypeRetention type, long after, int limit, Line line)
      throws SQLException, IOException {
    read(
        OLD_EVENTS,
        line,
        connection.createArrayOf("text", type.names().toArray()),
        time(type.keptFrom()),
        after,
        limit);
  }

  boolean hasOldEvents(TypeRetention type, long after) throws SQLException, IOException {
    ArchivedRows first = new ArchivedRows();
    oldEvents(type, after, 1, (id, receivedAt, line) -> first.add(id, receivedAt));
    return first.size() > 0;
  }

  private void read(String sql, Line line, @Nullable Object... parameters)
      throws SQLException, IOException {
    connection.setAutoCommit(false);
    try (PreparedStatement statement = prepared(sql, parameters)) {
      statement.setFetchSize(FETCH);
      try (ResultSet row = statement.executeQuery()) {
        while (row.next()) {
          @Nullable OffsetDateTime receivedAt = row.getObject(2, OffsetDateTime.class);
          line.take(
              row.getLong(1),
              receivedAt == null ? Instant.EPOCH : receivedAt.toInstant(),
              row.getString(3));
        }
      }
    } finally {
      connection.rollback();
      connection.setAutoCommit(true);
    }
  }

  long deleteEvents(ArchivedRows rows) throws SQLException {
    Long[] ids = rows.ids();
    OffsetDateTime[] times =
        Arrays.stream(rows.times()).map(ArchiveStore::time).toArray(OffsetDateTime[]::new);
    Instant[] sorted = rows.times();
    Arrays.sort(sorted);
    try (PreparedStatement statement =
        prepared(
            DELETE_EVENTS,
            connection.createArrayOf("bigint", ids),
            connection.createArrayOf("timestamptz", times),
            ids[0],
            ids[ids.length - 1],
            time(sorted[0]),
            time(sorted[sorted.length - 1]))) {
      return statement.executeUpdate();
    }
  }

  void drop(Partition partition, long rows) throws SQLException {
    try (PreparedStatement statement =
        prepared("select cortex.drop_archived(?, ?)", partition.name(), rows)) {
      statement.execute();
    }
  }

  /** A count. */
  long number(String sql, @Nullable Object... parameters) throws SQLException {
    try (PreparedStatement statement = prepared(sql, parameters);
        ResultSet row = statement.executeQuery()) {
      row.next();
      return row.getLong(1);
    }
  }

  /** A count of a type's events. Parameters of the statement: names, until, from. */
  long rowsOf(String sql, TypeRetention type, Instant from) throws SQLException {
    return number(
        sql,
        connection.createArrayOf("text", type.names().toArray()),
        time(type.keptFrom()),
        time(from));
  }

  private String text(String sql, String first, String second) throws SQLException {
    try (PreparedStatement statement = prepared(sql, first, second);
        ResultSet row = statement.executeQuery()) {
      row.next();
      return row.getString(1);
    }
  }

  /** Each older user of a month is waited for in turn, so a limit per lock is not enough. */
  private void executeShortly(String sql) throws SQLException {
    execute("set statement_timeout = '4s'");
    try {
      execute(sql);
    } finally {
      execute("reset statement_timeout");
    }
  }

  private void execute(String sql) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  @SuppressWarnings("NullAway") // JDBC takes null for an absent parameter
  private PreparedStatement prepared(String sql, @Nullable Object... parameters)
      throws SQLException {
    PreparedStatement statement = connection.prepareStatement(sql);
    for (int i = 0; i < parameters.length; i++) {
      statement.setObject(i + 1, parameters[i]);
    }
    return statement;
  }

  private static Instant moment(ResultSet row, String column) throws SQLException {
    return row.getObject(column, OffsetDateTime.class).toInstant();
  }

  static OffsetDateTime time(Instant moment) {
    return moment.atOffset(ZoneOffset.UTC);
  }
}
