package dev.cortex.events.daemon;

import dev.cortex.events.command.TrustedFile;
import java.io.IOException;
import java.io.Reader;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.channels.OverlappingFileLockException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.time.Duration;
import java.util.Optional;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/**
 * What a daemon has on the disk of its host: a lock that its supervisor holds for as long as it
 * lives and has written its process id into, a record of the run, and the output. Only the user may
 * read it.
 */
public final class DaemonHome {
  private static final String LOCK = "supervisor.lock";
  private static final String RECORD = "run.properties";
  private static final Duration PATIENCE = Duration.ofSeconds(2);
  private static final long LOOK_MILLIS = 20;

  private final Path directory;

  private DaemonHome(Path directory) {
    this.directory = directory;
  }

  /** That of a daemon, below the directory of all. */
  public static DaemonHome of(Path all, String daemon) {
    return new DaemonHome(all.toAbsolutePath().normalize().resolve(daemon));
  }

  /** What the supervisor has written down last. */
  record Run(long program, String id, int restarts, String state, String reason) {
    /** By which the processes of this run are told from others. */
    String variable() {
      return Supervisor.RUN_VARIABLE + "=" + id;
    }
  }

  /** The lock, held. */
  record Hold(FileChannel channel) {
    void close() throws IOException {
      channel.close();
    }
  }

  /** The file with what the daemon has written last. */
  public Path output() {
    return directory.resolve(OutputFiles.NAME);
  }

  /** The file that a supervisor without a terminal writes to; its directory is made. */
  public Path supervisorLog() throws IOException {
    make();
    return directory.resolve("supervisor.log");
  }

  private void make() throws IOException {
    Files.createDirectories(
        directory,
        PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    TrustedFile.require(directory);
  }

  Path directory() {
    return directory;
  }

  /** Takes the lock; empty when another supervisor has it. Those who only look let go at once. */
  Optional<Hold> hold() throws IOException, InterruptedException {
    make();
    long deadline = System.nanoTime() + PATIENCE.toNanos();
    while (true) {
      FileChannel channel =
          FileChannel.open(
              directory.resolve(LOCK), StandardOpenOption.CREATE, StandardOpenOption.WRITE);
      @Nullable FileLock lock = channel.tryLock();
      if (lock != null) {
        channel.truncate(0);
        int unused =
            channel.write(
                ByteBuffer.wrap(
                    Long.toString(ProcessHandle.current().pid())
                        .getBytes(StandardCharsets.US_ASCII)));
        return Optional.of(new Hold(channel));
      }
      channel.close();
      if (System.nanoTime() > deadline) {
        return Optional.empty();
      }
      TimeUnit.MILLISECONDS.sleep(LOOK_MILLIS);
    }
  }

  /** Whether a supervisor lives, whatever is written down. */
  boolean isHeld() {
    Path lock = directory.resolve(LOCK);
    if (!Files.exists(lock)) {
      return false;
    }
    try (FileChannel channel = FileChannel.open(lock, StandardOpenOption.WRITE)) {
      return channel.tryLock() == null;
    } catch (OverlappingFileLockException e) {
      return true; // a supervisor of this very process
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** The process that holds the lock; empty when none does. */
  Optional<Long> supervisor() {
    if (!isHeld()) {
      return Optional.empty();
    }
    try {
      TrustedFile.require(directory); // else others could have us end what they name
      String pid = Files.readString(directory.resolve(LOCK), StandardCharsets.US_ASCII);
      return pid.isEmpty() ? Optional.empty() : Optional.of(Long.valueOf(pid));
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
    Path whole = directory.resolve(RECORD + ".new");
    try (var out = Files.newBufferedWriter(whole, StandardCharsets.UTF_8)) {
      properties.store(out, null);
    }
    Files.move(
        whole,
        directory.resolve(RECORD),
        StandardCopyOption.ATOMIC_MOVE,
        StandardCopyOption.REPLACE_EXISTING);
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
