package dev.cortex.events.crash;

import static org.awaitility.Awaitility.await;

import dev.cortex.events.database.TestDatabase;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;

/** A test's database with what {@link CrashWorker} and {@link CrashAudit} need, and questions. */
final class CrashDatabase {
  private static final Duration PATIENCE = Duration.ofMinutes(5);

  private static final String OTHER_SESSIONS =
      """
      select count(*)
        from pg_stat_activity a
       where a.datname = current_database() and a.backend_type = 'client backend' and a.pid <> pg_backend_pid()
      """;

  private final TestDatabase database;

  CrashDatabase(TestDatabase database) {
    this.database = database;
  }

  static CrashDatabase prepare(TestDatabase database) throws SQLException {
    CrashDatabase prepared = new CrashDatabase(database);
    prepared.run(CrashWorker.SETUP);
    prepared.run(CrashAudit.SCHEMA);
    return prepared;
  }

  static CrashDatabase prepareLeases(TestDatabase database) throws SQLException {
    CrashDatabase prepared = new CrashDatabase(database);
    prepared.run(LeaseWorker.SETUP);
    return prepared;
  }

  /** Between two tests of one class. */
  void forgetLeases() throws SQLException {
    try (Connection connection = superuser();
        Statement statement = connection.createStatement()) {
      statement.execute(
          """
          set session_replication_role = replica;
          truncate lease_calls, lease_effects, blows, cortex.events, cortex.deliveries, cortex.attempts;
          """);
    }
  }

  /** For another process, as a login that has only this role. */
  String url(String role) throws SQLException {
    return WorkerProcess.url(database.address(role));
  }

  Connection superuser() throws SQLException {
    return database.superuserAddress().dataSource().getConnection();
  }

  void run(String sql) throws SQLException {
    try (Connection connection = database.connection();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  void runAsSuperuser(String sql) throws SQLException {
    try (Connection connection = superuser();
        Statement statement = connection.createStatement()) {
      statement.execute(sql);
    }
  }

  long count(String sql) throws SQLException {
    try (Connection connection = superuser();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(sql)) {
      row.next();
      return row.getLong(1);
    }
  }

  /** Emits plain events numbered from {@code first} to {@code last}. */
  void emit(int first, int last) throws SQLException {
    run(
        """
        insert into cortex.events (type, source, payload)
        select 'crash.happened', 'sql', jsonb_build_object('n', n, 'check', md5(n::text)) from generate_series(%d, %d) n
        """
            .formatted(first, last));
  }

  /** Nothing is open but dead letters. */
  void awaitDrained() {
    awaitCount("select count(*) from cortex.deliveries where run_at < 'infinity'", 0);
  }

  /** Workers that have not ended, as the others see it. */
  void awaitAlive(int workers) {
    awaitCount("select count(*) from cortex.workers where stopped_at is null", workers);
  }

  /** A server closes a session a moment after its client. */
  void awaitNoSessions() {
    awaitCount(OTHER_SESSIONS, 0);
  }

  void awaitCount(String sql, long expected) {
    await().atMost(PATIENCE).ignoreExceptions().until(() -> count(sql) == expected);
  }
}
