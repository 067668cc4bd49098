package dev.cortex.events.file;

import java.io.Closeable;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.BasicFileAttributes;
import java.nio.file.attribute.FileAttribute;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.HashSet;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.locks.ReentrantLock;
import org.jspecify.annotations.Nullable;

/**
 * A file that one user of this host has locked, until it is closed or the process ends.
 *
 * <p>The kernel gives the lock to the process, not to a channel: when any channel of this process
 * to that file is closed, the lock is gone, whoever holds it. So a file that is locked from here is
 * never opened a second time, not even to look; who holds what is known to the whole process, as it
 * is to the kernel. Nobody may read a lock's file but by {@link #channel}.
 */
public final class LockedFile implements Closeable {
  private static final ReentrantLock ONE_AT_A_TIME = new ReentrantLock();

  /** Device and number of each file, since names may differ. */
  private static final Set<Object> HELD = new HashSet<>();

  private static final FileAttribute<?> PRIVATE =
      PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------"));

  private final FileChannel channel;
  private final Object key;

  private LockedFile(FileChannel channel, Object key) {
    this.channel = channel;
    this.key = key;
  }

  /**
   * Locks a file, which is made for its owner only where it is missing, and is no link.
   *
   * @return empty while another user has it, of this process or of another one
   */
  public static Optional<LockedFile> tryLock(Path file) throws IOException {
    ONE_AT_A_TIME.lock();
    try {
      @Nullable Object known = keyOf(file);
      if (known != null && HELD.contains(known)) {
        return Optional.empty();
      }
      return locked(
          FileChannel.open(
              file,
              Set.of(
                  StandardOpenOption.CREATE,
                  StandardOpenOption.READ,
                  StandardOpenOption.WRITE,
                  LinkOption.NOFOLLOW_LINKS),
              PRIVATE),
          file);
    } finally {
      ONE_AT_A_TIME.unlock();
    }
  }

  private static Optional<LockedFile> locked(FileChannel channel, Path file) throws IOException {
    boolean isLocked = false;
    try {
      @Nullable Object key = keyOf(file);
      isLocked = key != null && channel.tryLock() != null;
      if (!isLocked || key == null) {
        return Optional.empty();
      }
      HELD.add(key);
      return Optional.of(new LockedFile(channel, key));
    } finally {
      if (!isLocked) {
        channel.close();
      }
    }
  }

  /** Whether anybody has it. Whoever tries to lock it at this moment may be refused. */
  public static boolean isLocked(Path file) throws IOException {
    ONE_AT_A_TIME.lock();
    try {
      @Nullable Object key = keyOf(file);
      if (key == null) {
        return false;
      }
      if (HELD.contains(key)) {
        return true;
      }
      try (FileChannel channel =
          FileChannel.open(file, Set.of(StandardOpenOption.WRITE, LinkOption.NOFOLLOW_LINKS))) {
        return channel.tryLock() == null;
      }
    } finally {
      ONE_AT_A_TIME.unlock();
    }
  }

  /** To read and write it by; not to be closed. */
  public FileChannel channel() {
    return channel;
  }

  /** Null where there is no such file. */
  private static @Nullable Object keyOf(Path file) throws IOException {
    try {
      return Files.readAttributes(file, BasicFileAttributes.class, LinkOption.NOFOLLOW_LINKS)
          .fileKey();
    } catch (NoSuchFileException e) {
      return null;
    }
  }

  /** Lets go of it. More than once does no harm. */
  @Override
  public void close() throws IOException {
    ONE_AT_A_TIME.lock();
    try {
      if (channel.isOpen()) {
        HELD.remove(key);
        channel.close();
      }
    } finally {
      ONE_AT_A_TIME.unlock();
    }
  }
}
