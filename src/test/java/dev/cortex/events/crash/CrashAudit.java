package dev.cortex.events.crash;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;

/**
 * Holds the database against what was written outside of it, by the one statement that promises.sql
 * and ops/sql/invariants.sql make together.
 */
final class CrashAudit {

  /** No unique key anywhere: an effect that is made twice is to be seen twice. */
  static final String SCHEMA =
      """
      create table crash_effects (seq bigserial, handler text not null, n integer not null, event_id text not null,
                                  digest text not null, worker text not null, call integer not null, fence bigint not null,
                                  at timestamptz not null default clock_timestamp());
      create index crash_effects_by_call on crash_effects (worker, call);
      create table crash_calls (event_id text not null, idempotency_key text not null, fence bigint not null,
                                attempt integer not null, worker text not null, at timestamptz not null default clock_timestamp());
      create table crash_blows (blow text not null, worker text, at timestamptz not null default clock_timestamp());
      create table crash_oracle (n integer not null, verdict text not null,
                                 constraint verdict_is_known
                                 check (verdict in ('committed', 'rolled_back', 'in_doubt', 'repeated')));
      grant all on crash_effects, crash_calls, crash_blows, crash_oracle to public;
      grant all on sequence crash_effects_seq_seq to public;
      """;

  /** What was just written has no statistics, and a loop in a loop over it takes for ever. */
  private static final String PLAN =
      "set enable_nestloop = off; set jit = off; set work_mem = '256MB'";

  /** What a database administrator can ask of any database. */
  private static final Path INVARIANTS = Path.of("ops/sql/invariants.sql");

  private static final int BATCH = 10_000;

  private CrashAudit() {}

  /** Loads what the emitters wrote down, a number and a verdict a line. */
  static void load(Connection connection, List<Path> ledgers) throws SQLException, IOException {
    try (PreparedStatement insert =
        connection.prepareStatement("insert into crash_oracle (n, verdict) values (?, ?)")) {
      int lines = 0;
      for (Path ledger : ledgers) {
        for (String line : Files.readAllLines(ledger)) {
          String[] words = line.split(" ", 2);
          insert.setInt(1, Integer.parseInt(words[0]));
          insert.setString(2, words[1]);
          insert.addBatch();
          if (++lines % BATCH == 0) {
            insert.executeBatch();
          }
        }
      }
      insert.executeBatch();
    }
    try (Statement statement = connection.createStatement()) {
      statement.execute(
          "analyze crash_oracle, crash_effects, crash_calls, cortex.events, cortex.attempts, cortex.deliveries");
    }
  }

  /** The promises and invariants that were not kept. */
  static List<String> broken(Connection superuser) throws SQLException {
    try (InputStream promises = CrashAudit.class.getResourceAsStream("promises.sql")) {
      String text = new String(promises.readAllBytes(), StandardCharsets.UTF_8);
      String invariants = invariants().strip();
      return rows(
          superuser,
          text.replace(":invariants\n", invariants.substring(0, invariants.length() - 1) + "\n"));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** The invariants that do not hold at this moment, whoever is at work. */
  static List<String> brokenInvariants(Connection auditor) throws SQLException {
    return rows(auditor, invariants());
  }

  private static String invariants() {
    try {
      return Files.readString(INVARIANTS);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static List<String> rows(Connection connection, String query) throws SQLException {
    List<String> broken = new ArrayList<>();
    try (Statement statement = connection.createStatement()) {
      statement.execute(PLAN);
      try (ResultSet rows = statement.executeQuery(query)) {
        while (rows.next()) {
          broken.add(
              "%s (%d times, first: %s)"
                  .formatted(rows.getString(1), rows.getLong(2), rows.getString(3)));
        }
      }
    }
    return broken;
  }
}
