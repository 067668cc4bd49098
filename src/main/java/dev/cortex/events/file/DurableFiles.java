package dev.cortex.events.file;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.PosixFilePermissions;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/** What is on the disk, name and all, when the call returns. For their owner only. */
public final class DurableFiles {
  private DurableFiles() {}

  /** Makes a directory (mode 0700) and those above it, where they are missing. */
  public static void makeDirectory(Path directory) throws IOException {
    Deque<Path> made = new ArrayDeque<>();
    @Nullable Path missing = directory.toAbsolutePath();
    while (missing != null && !Files.isDirectory(missing)) {
      made.push(missing);
      missing = missing.getParent();
    }
    Files.createDirectories(
        directory,
        PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rwx------")));
    for (Path one : made) {
      forceNameOf(one);
    }
  }

  /** Puts bytes into a file (mode 0600), all of them or, after a crash, what it held before. */
  public static void replace(Path file, byte[] bytes) throws IOException {
    Path whole = file.resolveSibling(file.getFileName() + ".new");
    try (FileChannel channel =
        FileChannel.open(
            whole,
            Set.of(
                StandardOpenOption.CREATE,
                StandardOpenOption.WRITE,
                StandardOpenOption.TRUNCATE_EXISTING,
                LinkOption.NOFOLLOW_LINKS),
            PosixFilePermissions.asFileAttribute(PosixFilePermissions.fromString("rw-------")))) {
      ByteBuffer left = ByteBuffer.wrap(bytes);
      while (left.hasRemaining()) {
        channel.write(left);
      }
      channel.force(true);
    }
    Files.move(whole, file, StandardCopyOption.ATOMIC_MOVE, StandardCopyOption.REPLACE_EXISTING);
    forceNameOf(file);
  }

  /** Puts the name on the disk that a file or a directory has above it. */
  public static void forceNameOf(Path path) throws IOException {
    @Nullable Path above = path.toAbsolutePath().getParent();
    if (above != null) {
      try (FileChannel names = FileChannel.open(above, StandardOpenOption.READ)) {
        names.force(true);
      }
    }
  }
}
