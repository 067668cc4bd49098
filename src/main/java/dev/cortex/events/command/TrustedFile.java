package dev.cortex.events.command;

import dev.cortex.events.file.FileOwner;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.jspecify.annotations.Nullable;

/**
 * A file that nobody can change or replace but this process's user and root: neither it nor any
 * directory above it may be written by others. A directory with the sticky bit, such as /tmp, may,
 * since nobody can replace in it what is not theirs.
 */
public final class TrustedFile {
  private static final int WRITABLE_BY_OTHERS = 022;
  private static final int STICKY = 01000;

  private TrustedFile() {}

  /**
   * Refuses any other; links are followed first.
   *
   * @throws InvalidCommandException when it is not such a file
   */
  public static void require(Path file) throws IOException {
    Path real = file.toRealPath();
    check(real, false);
    for (@Nullable Path above = real.getParent(); above != null; above = above.getParent()) {
      check(above, true);
    }
  }

  private static void check(Path file, boolean mayBeSticky) throws IOException {
    int mode = (int) Files.getAttribute(file, "unix:mode");
    boolean isSticky = mayBeSticky && (mode & STICKY) != 0;
    if ((mode & WRITABLE_BY_OTHERS) != 0 && !isSticky) {
      throw new InvalidCommandException(file, "must be writable by its owner only");
    }
    if (!FileOwner.isRoot(file) && !FileOwner.isSelf(file)) {
      throw new InvalidCommandException(
          file,
          "must belong to root or to the worker's user, belongs to "
              + Files.getOwner(file).getName());
    }
  }
}
