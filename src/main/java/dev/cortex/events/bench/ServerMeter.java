package dev.cortex.events.bench;

import dev.cortex.events.database.ConnectionPool;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * Reads what the server has used: processor time from /proc, where it runs on this machine, and
 * write-ahead log.
 */
final class ServerMeter {
  /** Linux's, on every architecture that Java runs on. */
  private static final int TICKS_PER_SECOND = 100;

  /** Places in /proc/PID/stat, counted after the program's name, which may hold spaces. */
  private static final int PARENT = 1;

  private static final int OWN_USER = 11;
  private static final int OWN_SYSTEM = 12;
  private static final int REAPED_USER = 13;
  private static final int REAPED_SYSTEM = 14;

  private static final int MOST_READINGS = 100;

  private static final Path PROCESSES = Path.of("/proc");

  private static final String READ =
      """
      select pg_backend_pid(),
             inet_server_addr() is null or inet_server_addr() << '127.0.0.0/8' or inet_server_addr() = '::1',
             pg_current_wal_lsn() - '0/0',
             (select coalesce(sum(n_dead_tup), 0) from pg_stat_user_tables)
      """;

  /**
   * A reading; the difference of two is what was used between them.
   *
   * @param deadTuples in all tables of the database, those of peers included
   */
  record Reading(Optional<Duration> processorTime, double walBytes, long deadTuples) {}

  private final ConnectionPool pool;

  ServerMeter(ConnectionPool pool) {
    this.pool = pool;
  }

  Reading read() throws SQLException {
    try (Connection connection = pool.connection();
        Statement statement = connection.createStatement();
        ResultSet row = statement.executeQuery(READ)) {
      row.next();
      return new Reading(
          row.getBoolean(2) ? processorTime(row.getLong(1)) : Optional.empty(),
          row.getDouble(3),
          row.getLong(4));
    }
  }

  /** Of the postmaster, its children, and those of its children that have ended. */
  private static Optional<Duration> processorTime(long backend) {
    List<String> self = stat(Long.toString(backend));
    if (self.isEmpty() || !isPostgres(backend)) {
      return Optional.empty();
    }
    String postmaster = self.get(PARENT);
    for (int i = 0; i < MOST_READINGS; i++) {
      List<String> before = stat(postmaster);
      long children = ticksOfChildren(postmaster);
      List<String> after = stat(postmaster);
      if (before.isEmpty() || after.isEmpty()) {
        return Optional.empty();
      }
      long reaped = ticks(after, REAPED_USER, REAPED_SYSTEM);
      // Else a child has ended in between, and would be counted twice or not at all.
      if (reaped == ticks(before, REAPED_USER, REAPED_SYSTEM)) {
        long all = ticks(after, OWN_USER, OWN_SYSTEM) + reaped + children;
        return Optional.of(Duration.ofMillis(all * 1_000 / TICKS_PER_SECOND));
      }
    }
    return Optional.empty();
  }

  private static long ticksOfChildren(String postmaster) {
    try (Stream<Path> all = Files.list(PROCESSES)) {
      return all.map(path -> stat(path.getFileName().toString()))
          .filter(child -> !child.isEmpty() && child.get(PARENT).equals(postmaster))
          .mapToLong(child -> ticks(child, OWN_USER, OWN_SYSTEM))
          .sum();
    } catch (IOException e) {
      return 0;
    }
  }

  /** The same number may be another program's, when the server runs in a container. */
  private static boolean isPostgres(long pid) {
    try {
      return Files.readString(PROCESSES.resolve(pid + "/comm")).startsWith("postgres");
    } catch (IOException e) {
      return false;
    }
  }

  private static long ticks(List<String> stat, int user, int system) {
    return Long.parseLong(stat.get(user)) + Long.parseLong(stat.get(system));
  }

  /** Empty when there is no such process, or none any more. */
  private static List<String> stat(String pid) {
    if (!Character.isDigit(pid.charAt(0))) {
      return List.of();
    }
    try {
      String line = Files.readString(PROCESSES.resolve(pid).resolve("stat"));
      return List.of(line.substring(line.lastIndexOf(')') + 2).strip().split(" ", -1));
    } catch (IOException e) {
      return List.of();
    }
  }
}
