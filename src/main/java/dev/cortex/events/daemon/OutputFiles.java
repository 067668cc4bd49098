package dev.cortex.events.daemon;

import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;

/**
 * What a daemon writes: {@code output.log}, which is put aside as {@code output.log.1} when it is
 * full, and so on to {@code .4}; what was there is gone. So a daemon that writes without end fills
 * no disk.
 */
final class OutputFiles {
  static final String NAME = "output.log";
  private static final int KEPT = 4;

  private final Path directory;
  private final long maxBytes;

  OutputFiles(Path directory, long maxBytes) {
    this.directory = directory;
    this.maxBytes = maxBytes;
  }

  /** Writes all of a stream, to its end. */
  void write(InputStream in) throws IOException {
    byte[] buffer = new byte[8192];
    int read = in.read(buffer);
    while (read >= 0) {
      long length = Files.exists(current()) ? Files.size(current()) : 0;
      try (OutputStream out =
          Files.newOutputStream(current(), StandardOpenOption.CREATE, StandardOpenOption.APPEND)) {
        for (; read >= 0 && length < maxBytes; read = in.read(buffer)) {
          out.write(buffer, 0, read);
          length += read;
        }
      }
      if (length >= maxBytes) {
        putAside();
      }
    }
  }

  private void putAside() throws IOException {
    for (int i = KEPT; i > 0; i--) {
      Path older = i == 1 ? current() : numbered(i - 1);
      if (Files.exists(older)) {
        Files.move(older, numbered(i), StandardCopyOption.REPLACE_EXISTING);
      }
    }
  }

  private Path current() {
    return directory.resolve(NAME);
  }

  private Path numbered(int number) {
    return directory.resolve(NAME + "." + number);
  }
}
