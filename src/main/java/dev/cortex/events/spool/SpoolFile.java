package dev.cortex.events.spool;

import java.io.IOException;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Set;
import java.util.regex.Pattern;

/** A file of events that wait. Names sort as they are drained: by writer, then by number. */
record SpoolFile(Path path) implements Comparable<SpoolFile> {
  private static final Pattern NAME =
      Pattern.compile("[0-9A-Za-z-]+\\.[0-9]+\\.jsonl(\\.draining)?");
  private static final String DRAINING = ".draining";

  /** A writer goes on in another file from a quarter of this on; what is larger is not ours. */
  static final int MAX_BYTES = 64 * 1024 * 1024;

  /**
   * What a file holds.
   *
   * @param lines without their line breaks; empty ones left out
   * @param isTorn whether the last one has no line break
   */
  record Content(List<byte[]> lines, boolean isTorn) {}

  static boolean isOne(Path file) {
    return NAME.matcher(file.getFileName().toString()).matches();
  }

  /** The same for all files of one writer. */
  String writer() {
    String name = name();
    return name.substring(0, name.indexOf('.'));
  }

  private String name() {
    return path.getFileName().toString();
  }

  private boolean isTaken() {
    return name().endsWith(DRAINING);
  }

  /** Takes the file from its writer, who notices and goes on in another one. */
  SpoolFile taken() throws IOException {
    return isTaken()
        ? this
        : new SpoolFile(
            Files.move(
                path, path.resolveSibling(name() + DRAINING), StandardCopyOption.ATOMIC_MOVE));
  }

  long size() throws IOException {
    return Files.size(path);
  }

  boolean isTooLarge() throws IOException {
    return size() > MAX_BYTES;
  }

  Content read() throws IOException {
    byte[] bytes;
    try (FileChannel file =
        FileChannel.open(path, Set.of(StandardOpenOption.READ, LinkOption.NOFOLLOW_LINKS))) {
      bytes = Channels.newInputStream(file).readNBytes(MAX_BYTES);
    }
    List<byte[]> lines = new ArrayList<>();
    int from = 0;
    for (int at = 0; at < bytes.length; at++) {
      if (bytes[at] == '\n') {
        add(lines, bytes, from, at);
        from = at + 1;
      }
    }
    add(lines, bytes, from, bytes.length);
    return new Content(lines, from < bytes.length);
  }

  private static void add(List<byte[]> lines, byte[] bytes, int from, int to) {
    if (to > from) {
      lines.add(Arrays.copyOfRange(bytes, from, to));
    }
  }

  @Override
  public int compareTo(SpoolFile other) {
    return name().compareTo(other.name());
  }
}
