package dev.cortex.events.spool;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import dev.cortex.events.event.EventDraft;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.attribute.BasicFileAttributes;
import java.security.SecureRandom;
import java.time.Instant;
import java.time.ZoneOffset;
import java.time.format.DateTimeFormatter;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * Appends to a file of its own. An append counts when it is on the disk and the file still has its
 * name: one that was taken away meanwhile may have been read too early, so what was appended to it
 * is appended again, to the next file. That it may be there twice does no harm, since an event has
 * an id.
 */
final class SpoolWriter {
  private static final DateTimeFormatter START =
      DateTimeFormatter.ofPattern("yyyyMMdd'T'HHmmssSSSSSS").withZone(ZoneOffset.UTC);

  /** From here on, the next file. */
  private static final long ROLL_BYTES = SpoolFile.MAX_BYTES / 4;

  /** All or none of what is appended at once lies in one file, which a drain has to take. */
  private static final long MOST_AT_ONCE = SpoolFile.MAX_BYTES - ROLL_BYTES;

  /** Each time, the file has been drained between two steps. */
  private static final int MAX_TRIES = 100;

  /** How long a look at the whole directory is good for. */
  private static final long LOOK_NANOS = TimeUnit.SECONDS.toNanos(1);

  /** A file being written, and what tells whether a name still leads to it. */
  private record Current(Path path, FileChannel channel, @Nullable Object key) {}

  private final SpoolDirectory directory;
  private final long maxBytes;
  private final int maxFiles;
  private final ReentrantLock lock = new ReentrantLock();

  @GuardedBy("lock")
  private @Nullable Current current;

  @GuardedBy("lock")
  private String name = "";

  @GuardedBy("lock")
  private int number;

  @GuardedBy("lock")
  private long usedBytes;

  @GuardedBy("lock")
  private int usedFiles;

  @GuardedBy("lock")
  private long lookedAt;

  SpoolWriter(SpoolDirectory directory, long maxBytes, int maxFiles) {
    this.directory = directory;
    this.maxBytes = maxBytes;
    this.maxFiles = maxFiles;
  }

  /** Appends the events, all or none, and returns the file once they are on the disk. */
  Path append(List<EventDraft> drafts) throws IOException {
    byte[] lines = lines(drafts);
    lock.lock();
    try {
      directory.make();
      checkRoom(lines.length);
      for (int tries = 0; tries < MAX_TRIES; tries++) {
        Current file = file();
        write(file, lines);
        if (isInPlace(file)) {
          usedBytes += lines.length;
          return file.path();
        }
        leave(file);
      }
      throw new IOException("each of " + MAX_TRIES + " files was taken away while it was written");
    } finally {
      lock.unlock();
    }
  }

  private static byte[] lines(List<EventDraft> drafts) {
    ByteArrayOutputStream lines = new ByteArrayOutputStream();
    drafts.forEach(draft -> lines.writeBytes(SpoolLine.write(draft)));
    return lines.toByteArray();
  }

  @GuardedBy("lock")
  private void checkRoom(long more) throws IOException {
    long now = System.nanoTime();
    if (lookedAt == 0 || now - lookedAt > LOOK_NANOS) {
      List<SpoolFile> files = directory.files();
      usedFiles = files.size();
      usedBytes = 0;
      for (SpoolFile file : files) {
        try {
          usedBytes += file.size();
        } catch (NoSuchFileException e) {
          // drained meanwhile
        }
      }
      lookedAt = now;
    }
    if (more > MOST_AT_ONCE) {
      throw SpoolFailedException.full(
          directory.path().toString(), "it takes " + MOST_AT_ONCE + " bytes at once, was " + more);
    }
    if (usedBytes + more > maxBytes) {
      throw SpoolFailedException.full(
          directory.path().toString(), "it may hold " + maxBytes + " bytes");
    }
    if (current == null && usedFiles >= maxFiles) {
      throw SpoolFailedException.full(
          directory.path().toString(), "it may hold " + maxFiles + " files");
    }
  }

  @GuardedBy("lock")
  private Current file() throws IOException {
    Current known = current;
    if (known != null && known.channel().position() < ROLL_BYTES) {
      return known;
    }
    if (known != null) {
      leave(known);
    }
    if (name.isEmpty()) {
      name =
          "%s-%d-%08x"
              .formatted(
                  START.format(Instant.now()),
                  ProcessHandle.current().pid(),
                  new SecureRandom().nextInt());
    }
    Path path = directory.path().resolve("%s.%06d.jsonl".formatted(name, ++number));
    Current next = new Current(path, directory.create(path), keyOf(path));
    current = next;
    directory.force();
    return next;
  }

  /** What was written in part is cut off; where even that fails, a reader sees that it is torn. */
  @GuardedBy("lock")
  private void write(Current file, byte[] lines) throws IOException {
    long before = file.channel().position();
    try {
      ByteBuffer left = ByteBuffer.wrap(lines);
      while (left.hasRemaining()) {
        file.channel().write(left);
      }
      file.channel().force(true);
    } catch (IOException e) {
      try {
        file.channel().truncate(before);
      } catch (IOException alsoFailed) {
        e.addSuppressed(alsoFailed);
      }
      leave(file);
      throw e;
    }
  }

  @GuardedBy("lock")
  private void leave(Current file) throws IOException {
    current = null;
    file.channel().close();
  }

  /** Not where the name leads elsewhere or nowhere, now or when the file was made. */
  private static boolean isInPlace(Current file) throws IOException {
    @Nullable Object key = keyOf(file.path());
    return key != null && key.equals(file.key());
  }

  /** Device and number of the file that has this name; null where none has. */
  private static @Nullable Object keyOf(Path path) throws IOException {
    try {
      return Files.readAttributes(path, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS)
          .fileKey();
    } catch (NoSuchFileException e) {
      return null; // drained already
    }
  }
}
