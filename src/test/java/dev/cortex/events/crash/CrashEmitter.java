package dev.cortex.events.crash;

import dev.cortex.events.event.EventDraft;
import dev.cortex.events.outbox.Outbox;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;

/**
 * An emitter process: numbered events in transactions of up to fifty, one in a hundred of which is
 * rolled back late. What became of each number is written to a file outside the database, after the
 * database has answered.
 */
final class CrashEmitter {

  /** By which entrance. */
  enum Entrance {
    SQL,
    COPY,
    JAVA
  }

  private static final int MAX_ROWS = 50;

  private final Outbox outbox = new Outbox();
  private final Random random;
  private final PrintStream ledger;

  private CrashEmitter(Random random, PrintStream ledger) {
    this.random = random;
    this.ledger = ledger;
  }

  /** Arguments: URL, entrance, first number, end, pace file, seed, ledger. */
  public static void main(String[] arguments) throws Exception {
    int first = Integer.parseInt(arguments[2]);
    int end = Integer.parseInt(arguments[3]);
    Pace pace = Pace.open(Path.of(arguments[4]));
    try (PrintStream ledger =
            new PrintStream(
                Files.newOutputStream(
                    Path.of(arguments[6]), StandardOpenOption.CREATE, StandardOpenOption.APPEND),
                true,
                StandardCharsets.UTF_8);
        Connection connection = DriverManager.getConnection(arguments[0])) {
      connection.setAutoCommit(false);
      CrashEmitter emitter = new CrashEmitter(new Random(Long.parseLong(arguments[5])), ledger);
      int next = first;
      while (next < end) {
        pace.await(next - first);
        int rows = Math.min(end - next, 1 + emitter.random.nextInt(MAX_ROWS));
        emitter.transaction(connection, Entrance.valueOf(arguments[1]), next, rows);
        next += rows;
      }
    }
  }

  private void transaction(Connection connection, Entrance entrance, int first, int rows)
      throws SQLException {
    emit(connection, entrance, first, rows);
    String verdict;
    if (random.nextInt(100) == 0) {
      connection.rollback();
      verdict = "rolled_back";
    } else {
      connection.commit();
      verdict = "committed";
    }
    StringBuilder lines = new StringBuilder();
    for (int n = first; n < first + rows; n++) {
      lines.append(n).append(' ').append(verdict).append('\n');
    }
    ledger.print(lines);
  }

  private void emit(Connection connection, Entrance entrance, int first, int rows)
      throws SQLException {
    switch (entrance) {
      case SQL -> sql(connection, first, rows);
      case COPY -> outbox.copy(connection, drafts(first, rows).iterator());
      case JAVA -> java(connection, drafts(first, rows));
    }
  }

  private static void sql(Connection connection, int first, int rows) throws SQLException {
    try (Statement statement = connection.createStatement()) {
      statement.executeUpdate(
          """
          insert into cortex.events (type, source, payload)
          select 'crash.happened', 'sql', jsonb_build_object('n', n) from generate_series(%d, %d) n
          """
              .formatted(first, first + rows - 1));
    }
  }

  private void java(Connection connection, List<EventDraft> drafts) throws SQLException {
    if (drafts.size() % 2 == 0) {
      outbox.emitAll(connection, drafts);
    } else {
      drafts.forEach(draft -> outbox.emit(connection, draft));
    }
  }

  private static List<EventDraft> drafts(int first, int rows) {
    List<EventDraft> drafts = new ArrayList<>();
    for (int n = first; n < first + rows; n++) {
      drafts.add(EventDraft.of(CrashWorker.TYPE, "java").withPayload("{\"n\": " + n + "}"));
    }
    return drafts;
  }
}
