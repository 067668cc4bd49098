package dev.cortex.events.file;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;

/** Whose a file is: by number, since the user of a container may have no name. */
public final class FileOwner {
  private static final String UID = "unix:uid";

  private FileOwner() {}

  /** Whether it belongs to the user of this process. Links are followed. */
  public static boolean isSelf(Path file) throws IOException {
    Path self = Path.of("/proc/self");
    return Files.exists(self)
        ? Files.getAttribute(file, UID).equals(Files.getAttribute(self, UID))
        : Files.getOwner(file).getName().equals(System.getProperty("user.name")); // no Linux
  }

  /** Whether it belongs to root. Links are followed. */
  public static boolean isRoot(Path file) throws IOException {
    return Files.getAttribute(file, UID).equals(0);
  }
}
