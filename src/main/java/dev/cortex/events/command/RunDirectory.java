package dev.cortex.events.command;

import dev.cortex.events.file.LockedFile;
import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.DirectoryStream;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.attribute.PosixFileAttributes;
import java.nio.file.attribute.PosixFilePermission;
import java.nio.file.attribute.PosixFilePermissions;
import java.nio.file.attribute.UserPrincipal;
import java.time.Duration;
import java.time.Instant;
import java.util.Set;
import java.util.concurrent.atomic.AtomicBoolean;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * What one run of a program has on the disk: the event, what the program writes, and a directory
 * for it to work in. Nobody else on the machine can read it, and it goes with the run; where the
 * process was killed, or something could not be removed, with the first run of another process, a
 * minute later at the earliest.
 */
final class RunDirectory implements AutoCloseable {
  /** In bytes: what an attempt's error holds, the exit status aside. */
  private static final int KEPT_OUTPUT = 7_900;

  /** What a program writes beyond this is dropped, so that it cannot fill the disk. */
  private static final long MAX_OUTPUT = 1024 * 1024;

  private static final Logger LOG = LoggerFactory.getLogger(RunDirectory.class);
  private static final Set<PosixFilePermission> OWNERS =
      PosixFilePermissions.fromString("rwx------");
  private static final String PREFIX = "cortex-command-";
  private static final String LOCK = ".lock";

  /** A run that begins has its lock by then. */
  private static final Duration BEGINNING = Duration.ofMinutes(1);

  private static final AtomicBoolean IS_FIRST = new AtomicBoolean(true);

  private final Path directory;
  private final LockedFile lock;
  private final Path work;
  private final Path event;
  private final Path output;

  private RunDirectory(Path directory, LockedFile lock) {
    this.directory = directory;
    this.lock = lock;
    this.work = directory.resolve("work");
    this.event = directory.resolve("event.json");
    this.output = directory.resolve("output");
  }

  /** A new one, with this envelope in it. */
  static RunDirectory of(String envelope) throws IOException {
    Path directory = Files.createTempDirectory(PREFIX);
    if (IS_FIRST.getAndSet(false)) {
      removeAbandoned(directory.resolveSibling(""), Files.getOwner(directory));
    }
    LockedFile lock =
        LockedFile.tryLock(directory.resolve(LOCK))
            .orElseThrow(() -> new IOException("somebody else has locked " + directory));
    RunDirectory made = new RunDirectory(directory, lock);
    try {
      Files.writeString(made.event, envelope + "\n");
      Files.createFile(made.output);
      Files.createDirectory(made.work);
      return made;
    } catch (IOException e) {
      made.close();
      throw e;
    }
  }

  /**
   * Removes what runs have left whose processes were killed. Only the owner's own directories:
   * within those of others, who could put a link in their place, nothing is touched.
   */
  static void removeAbandoned(Path parent, UserPrincipal owner) throws IOException {
    Instant begun = Instant.now().minus(BEGINNING);
    try (DirectoryStream<Path> runs = Files.newDirectoryStream(parent, PREFIX + "*")) {
      for (Path run : runs) {
        removeIfAbandoned(run, owner, begun);
      }
    }
  }

  private static void removeIfAbandoned(Path run, UserPrincipal owner, Instant begun) {
    try {
      PosixFileAttributes attributes =
          Files.readAttributes(run, PosixFileAttributes.class, LinkOption.NOFOLLOW_LINKS);
      if (attributes.isDirectory()
          && attributes.owner().equals(owner)
          && attributes.lastModifiedTime().toInstant().isBefore(begun)
          && !LockedFile.isLocked(run.resolve(LOCK))) {
        remove(run);
      }
    } catch (IOException e) {
      // Somebody else was quicker, or it cannot be removed: no reason not to run.
    }
  }

  /** Empty, for the program to do with as it likes. */
  Path work() {
    return work;
  }

  Path eventFile() {
    return event;
  }

  Path outputFile() {
    return output;
  }

  /**
   * Forgets what the program has written if that is too much. It writes by appending, so that it
   * goes on at the new end.
   */
  void boundOutput() throws IOException {
    if (Files.exists(output) && Files.size(output) > MAX_OUTPUT) {
      try (RandomAccessFile file = new RandomAccessFile(output.toFile(), "rw")) {
        file.setLength(0);
      }
    }
  }

  /** The end of what the program has written. Bytes that are no UTF-8 are replaced. */
  String output() throws IOException {
    if (!Files.exists(output)) {
      return ""; // the program has removed it
    }
    try (RandomAccessFile file = new RandomAccessFile(output.toFile(), "r")) {
      long length = file.length();
      file.seek(Math.max(0, length - KEPT_OUTPUT));
      byte[] end = new byte[(int) Math.min(length, KEPT_OUTPUT)];
      file.readFully(end);
      return new String(end, StandardCharsets.UTF_8);
    }
  }

  /** What cannot be removed changes nothing of how the run has ended. */
  @Override
  public void close() {
    try {
      lock.close();
      remove(directory);
    } catch (IOException e) {
      LOG.warn("a run's directory cannot be removed: {}", directory, e);
    }
  }

  /** With what it holds, also where the program has shut its directories. */
  private static void remove(Path path) throws IOException {
    if (Files.isDirectory(path, LinkOption.NOFOLLOW_LINKS)) {
      Files.setPosixFilePermissions(path, OWNERS);
      try (DirectoryStream<Path> children = Files.newDirectoryStream(path)) {
        for (Path child : children) {
          remove(child);
        }
      }
    }
    Files.deleteIfExists(path);
  }
}
