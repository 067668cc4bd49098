package dev.cortex.events.database;

import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFilePermissions;
import java.sql.SQLException;
import java.time.Duration;

/**
 * An embedded server of one test's own, to be crashed, restarted and stopped. Its port stays the
 * same. Declare it as a parameter of a class with {@link PostgresExtension}; it is gone after the
 * class.
 */
public final class DedicatedPostgres implements AutoCloseable {
  private static final Duration LONG = Duration.ofMinutes(1);

  /** How a server is told to stop. */
  public enum Shutdown {
    /** Waits for the sessions to end. */
    SMART("TERM"),
    /** Ends the sessions. */
    FAST("INT"),
    /** Leaves everything; the next start recovers. */
    IMMEDIATE("QUIT");

    private final String signal;

    Shutdown(String signal) {
      this.signal = signal;
    }
  }

  private final Path parent;
  private final Path directory;
  private final TestDatabase database;
  private EmbeddedPostgres server;

  private DedicatedPostgres(Path parent, EmbeddedPostgres server, TestDatabase database) {
    this.parent = parent;
    this.directory = server.directory();
    this.server = server;
    this.database = database;
  }

  static DedicatedPostgres start() throws IOException, SQLException {
    Path parent = Files.createTempDirectory("cortex-dedicated-");
    Files.setPosixFilePermissions(parent, PosixFilePermissions.fromString("rwxr-xr-x"));
    EmbeddedPostgres server = EmbeddedPostgres.open(parent.resolve("server"));
    try {
      return new DedicatedPostgres(parent, server, TestServer.dedicated(server).newDatabase());
    } catch (SQLException | RuntimeException e) {
      server.close();
      server.awaitStopped(LONG);
      PostgresPrograms.delete(parent);
      throw e;
    }
  }

  /** A migrated database on this server. */
  public TestDatabase database() {
    return database;
  }

  /** Kills the server (SIGKILL). It comes back by itself; this does not wait for it. */
  public void crash() {
    signal("KILL");
  }

  /** Stops the server and returns when it is back. */
  public void restart(Shutdown mode) {
    long before = process();
    signal(mode.signal);
    Waiting.until(LONG, () -> isReplaced(before));
    EmbeddedPostgres.open(directory).close(); // returns when the server answers
  }

  private boolean isReplaced(long before) {
    return EmbeddedPostgres.status(directory).process().filter(pid -> pid != before).isPresent();
  }

  /** Stops the server until {@link #startAgain}. */
  public void stop() {
    server.close();
    if (!server.awaitStopped(LONG)) {
      throw new IllegalStateException("server must stop within " + LONG + ": " + directory);
    }
  }

  /** Starts the server that {@link #stop} has stopped. */
  public void startAgain() {
    server = EmbeddedPostgres.open(directory);
  }

  private void signal(String name) {
    try {
      SystemProcess.signal(name, process());
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private long process() {
    return EmbeddedPostgres.status(directory).process().orElseThrow();
  }

  @Override
  public void close() {
    stop();
    PostgresPrograms.delete(parent);
  }
}
