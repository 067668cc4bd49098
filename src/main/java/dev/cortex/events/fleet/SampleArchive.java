package dev.cortex.events.fleet;

import java.io.FileNotFoundException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.List;

/**
 * A small archive in the shapes that the old system left behind, for the demo and for trying an
 * import: three days of an invented fleet, one event per file and JSONL, with the quirks of real
 * archives and some lines that are no events.
 */
public final class SampleArchive {
  /** How many events are in it. */
  public static final int EVENTS = 56;

  /** How many lines are in it that are no events. */
  public static final int DEFECTS = 3;

  private static final String ROOT = "sample-archive/";
  private static final String LIST = "files.txt";

  private SampleArchive() {}

  /**
   * Writes the archive's files below a directory, which is made where it is missing; files of the
   * same name are replaced.
   *
   * @return the directory
   */
  public static Path copyTo(Path directory) throws IOException {
    for (String name : names()) {
      Path file = directory.resolve(name);
      Files.createDirectories(file.toAbsolutePath().getParent());
      try (InputStream content = open(name)) {
        Files.copy(content, file, StandardCopyOption.REPLACE_EXISTING);
      }
    }
    return directory;
  }

  /** A jar cannot be listed, so a file does. */
  private static List<String> names() throws IOException {
    try (InputStream list = open(LIST)) {
      return new String(list.readAllBytes(), StandardCharsets.UTF_8).lines().toList();
    }
  }

  private static InputStream open(String name) throws IOException {
    InputStream content = SampleArchive.class.getResourceAsStream(ROOT + name);
    if (content == null) {
      throw new FileNotFoundException("sample archive: " + name);
    }
    return content;
  }
}
