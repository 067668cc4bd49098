package dev.cortex.events.daemon;

import dev.cortex.events.command.TrustedFile;
import dev.cortex.events.file.DurableFiles;
import dev.cortex.events.file.LockedFile;
import java.io.IOException;
import java.io.Reader;
import java.io.StringWriter;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.time.Duration;
import java.util.Optional;
import java.util.Properties;
import java.util.concurrent.TimeUnit;

/**
 * What a daemon has on the disk of its host: a lock that its supervisor holds for as long as it
 * lives, the process that holds it, a record of the run, and the output. Only the user may read it.
 * A record is on the disk, and whole, when it is written.
 */
public final class DaemonHome {
  private static final String LOCK = "supervisor.lock";
  private static final String HOLDER = "supervisor.pid";
  private static final String RECORD = "run.properties";
  private static final String LOG = "supervisor.log";
  private static final long MAX_LOG_BYTES = 1024 * 1024;
  private static final Duration PATIENCE = Duration.ofSeconds(2);
  private static final long LOOK_MILLIS = 20;

  private final Path directory;

  private DaemonHome(Path directory) {
    this.directory = directory;
  }

  /**
   * That of a daemon, below the directory of all.
   *
   * @throws IllegalArgumentException when no daemon can have this name
   */
  public static DaemonHome of(Path all, String daemon) {
    if (!DaemonDirectory.isName(daemon)) {
      throw new IllegalArgumentException("must be a daemon's name, was " + daemon);
    }
    return new DaemonHome(all.toAbsolutePath().normalize().resolve(daemon));
  }

  /** What the supervisor has written down last. */
  record Run(long program, String id, int restarts, String state, String reason) {
    /** By which the processes of this run are told from others. */
    String variable() {
      return Supervisor.RUN_VARIABLE + "=" + id;
    }
  }

  /** The file with what the daemon has written last. */
  public Path output() {
    return directory.resolve(OutputFiles.NAME);
  }

  /**
   * The file to whose end a supervisor without a terminal writes; its directory is made. One that
   * has grown too large is put aside as {@code supervisor.log.1} first.
   */
  public Path supervisorLog() throws IOException {
    make();
    Path log = directory.resolve(LOG);
    if (Files.exists(log) && Files.size(log) > MAX_LOG_BYTES) {
      Files.move(log, directory.resolve(LOG + ".1"), StandardCopyOption.REPLACE_EXISTING);
    }
    return log;
  }

  private void make() throws IOException {
    DurableFiles.makeDirectory(directory);
    TrustedFile.require(directory);
  }

  Path directory() {
    return directory;
  }

  /** Takes the lock; empty when another supervisor has it. Those who only look let go at once. */
  Optional<LockedFile> hold() throws IOException, InterruptedException {
    make();
    long deadline = System.nanoTime() + PATIENCE.toNanos();
    while (true) {
      Optional<LockedFile> lock = LockedFile.tryLock(directory.resolve(LOCK));
      if (lock.isPresent()) {
        tell(lock.get());
        return lock;
      }
      if (System.nanoTime() > deadline) {
        return Optional.empty();
      }
      TimeUnit.MILLISECONDS.sleep(LOOK_MILLIS);
    }
  }

  /** Whoever cannot say who it is can be stopped by nobody. */
  private void tell(LockedFile lock) throws IOException {
    boolean isTold = false;
    try {
      String us = ProcessMark.of(ProcessHandle.current()).text();
      DurableFiles.replace(directory.resolve(HOLDER), us.getBytes(StandardCharsets.UTF_8));
      isTold = true;
    } finally {
      if (!isTold) {
        lock.close();
      }
    }
  }

  /** Whether a supervisor lives, whatever is written down. */
  boolean isHeld() {
    try {
      return LockedFile.isLocked(directory.resolve(LOCK));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /**
   * The process that holds the lock; empty when none does. It has the lock before it can say so,
   * and until then the file names one that is gone, so this looks again for a while.
   */
  Optional<ProcessHandle> supervisor() throws InterruptedException {
    long deadline = System.nanoTime() + PATIENCE.toNanos();
    while (isHeld()) {
      Optional<ProcessHandle> holder = holder();
      if (holder.isPresent() || System.nanoTime() > deadline) {
        return holder;
      }
      TimeUnit.MILLISECONDS.sleep(LOOK_MILLIS);
    }
    return Optional.empty();
  }

  private Optional<ProcessHandle> holder() {
    try {
      TrustedFile.require(directory); // else others could have us end what they name
      return ProcessMark.living(
          Files.readString(directory.resolve(HOLDER), StandardCharsets.UTF_8));
    } catch (NoSuchFileException e) {
      return Optional.empty();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  void write(Run run) throws IOException {
    Properties properties = new Properties();
    properties.setProperty("program", Long.toString(run.program()));
    properties.setProperty("run", run.id());
    properties.setProperty("restarts", Integer.toString(run.restarts()));
    properties.setProperty("state", run.state());
    properties.setProperty("reason", run.reason());
    StringWriter text = new StringWriter();
    properties.store(text, null);
    DurableFiles.replace(
        directory.resolve(RECORD), text.toString().getBytes(StandardCharsets.UTF_8));
  }

  /** Empty before the first run. */
  Optional<Run> run() {
    Path record = directory.resolve(RECORD);
    if (!Files.exists(record)) {
      return Optional.empty();
    }
    Properties properties = new Properties();
    try (Reader in = Files.newBufferedReader(record, StandardCharsets.UTF_8)) {
      properties.load(in);
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
    return Optional.of(
        new Run(
            number(properties, "program"),
            properties.getProperty("run", ""),
            (int) number(properties, "restarts"),
            properties.getProperty("state", ""),
            properties.getProperty("reason", "")));
  }

  private static long number(Properties properties, String key) {
    return Long.parseLong(properties.getProperty(key, "0"));
  }
}
