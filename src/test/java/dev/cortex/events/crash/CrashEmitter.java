package dev.cortex.events.crash;

import dev.cortex.events.database.DatabaseFault;
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
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.LockSupport;
import java.util.stream.IntStream;

/**
 * An emitter process: numbered events in transactions of up to fifty, one in a hundred of which is
 * rolled back late, one in ten of which repeats an event of an earlier one. What became of each
 * number is written to a file outside the database, after the database has answered. Whoever gets
 * no answer to a commit emits again what can be emitted again, and is in doubt about the rest.
 */
final class CrashEmitter {

  /** By which entrance. */
  enum Entrance {
    SQL,
    COPY,
    JAVA;

    String source() {
      return name().toLowerCase(Locale.ROOT);
    }
  }

  private static final int MAX_ROWS = 50;

  private final Outbox outbox = new Outbox();
  private final String url;
  private final Entrance entrance;
  private final Random random;
  private final PrintStream ledger;
  private Connection connection;
  private int repeatable = -1;

  private CrashEmitter(String url, Entrance entrance, Random random, PrintStream ledger) {
    this.url = url;
    this.entrance = entrance;
    this.random = random;
    this.ledger = ledger;
    this.connection = connect();
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
            StandardCharsets.UTF_8)) {
      CrashEmitter emitter =
          new CrashEmitter(
              arguments[0],
              Entrance.valueOf(arguments[1]),
              new Random(Long.parseLong(arguments[5])),
              ledger);
      int next = first;
      while (next < end) {
        pace.await(next - first);
        int rows = Math.min(end - next, 1 + emitter.random.nextInt(MAX_ROWS));
        emitter.transaction(next, rows);
        next += rows;
      }
    }
  }

  private void transaction(int first, int rows) {
    String verdict = "rolled_back";
    boolean repeats = repeatable >= 0 && random.nextInt(10) == 0;
    try {
      if (repeats) {
        emit(List.of(repeatable));
      }
      emit(IntStream.range(first, first + rows).boxed().toList());
      if (random.nextInt(100) == 0) {
        connection.rollback();
      } else {
        verdict = "in_doubt";
        connection.commit();
        verdict = "committed";
      }
    } catch (SQLException | RuntimeException e) {
      connection = connectAfter(e);
    }
    record(first, rows, verdict);
    if (repeats && verdict.equals("committed")) {
      ledger.println(repeatable + " repeated");
    }
    for (int n = first; n < first + rows && verdict.equals("committed"); n++) {
      repeatable = CrashEvent.isRepeatable(n) ? n : repeatable;
    }
  }

  private void record(int first, int rows, String verdict) {
    StringBuilder lines = new StringBuilder();
    for (int n = first; n < first + rows; n++) {
      boolean isSettled = !verdict.equals("in_doubt") || CrashEvent.isRepeatable(n);
      if (verdict.equals("in_doubt") && isSettled) {
        emitUntilCommitted(n);
      }
      lines
          .append(n)
          .append(' ')
          .append(verdict.equals("in_doubt") && isSettled ? "committed" : verdict)
          .append('\n');
    }
    ledger.print(lines);
  }

  private void emitUntilCommitted(int n) {
    boolean isCommitted = false;
    while (!isCommitted) {
      try {
        emit(List.of(n));
        connection.commit();
        isCommitted = true;
      } catch (SQLException | RuntimeException e) {
        connection = connectAfter(e);
      }
    }
  }

  /** The numbers follow one another. */
  private void emit(Collection<Integer> numbers) throws SQLException {
    List<EventDraft> drafts =
        numbers.stream().map(n -> CrashEvent.draft(n, entrance.source())).toList();
    switch (entrance) {
      case SQL -> {
        int first = numbers.iterator().next();
        CrashEvent.insert(connection, first, first + numbers.size() - 1, entrance.source());
      }
      case COPY -> outbox.copy(connection, drafts.iterator());
      case JAVA -> java(drafts);
    }
  }

  private void java(List<EventDraft> drafts) {
    if (drafts.size() % 2 == 0) {
      outbox.emitAll(connection, drafts);
    } else {
      drafts.forEach(draft -> outbox.emit(connection, draft));
    }
  }

  private Connection connectAfter(Exception error) {
    if (DatabaseFault.of(error).orElse(DatabaseFault.OTHER) != DatabaseFault.CONNECTION_LOST) {
      throw new IllegalStateException("the database refused an event", error);
    }
    return connect();
  }

  /** As soon as there is a server that answers. */
  private Connection connect() {
    while (true) {
      try {
        Connection connection = DriverManager.getConnection(url);
        connection.setAutoCommit(false);
        return connection;
      } catch (SQLException e) {
        LockSupport.parkNanos(TimeUnit.MILLISECONDS.toNanos(50));
      }
    }
  }
}
