package dev.cortex.events.spool;

import java.io.IOException;
import java.nio.channels.Channels;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.nio.file.attribute.FileTime;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.regex.Pattern;

/** A file of events that wait. Names sort as they are drained: by writer, then by number. */
record SpoolFile(Path path) implements Comparable<SpoolFile> {
  private static final Pattern NAME =
      Pattern.compile("[0-9A-Za-z-]+\\.[0-9]+\\.jsonl(\\.draining)?");
  private static final String DRAINING = ".draining";

  /** A writer goes on in another file from a quarter of this on; what is larger is not ours. */
  static final int MAX_BYTES = 64 * 1024 * 1024;

  /** A line without an end is being written, until its file has been still for so long. */
  private static final Duration WRITING = Duration.ofSeconds(10);

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

  /**
   * Until when what is torn, or empty, counts as being written; empty where the file is whole.
   *
   * @param content what was read, after this moment of the last write
   */
  Optional<Instant> writtenUntil(Content content, FileTime written) {
    return content.isTorn() || content.lines().isEmpty()
        ? Optional.of(written.toInstant().plus(WRITING))
        : Optional.empty();
  }

  FileTime written() throws IOException {
    return Files.getLastModifiedTime(path, LinkOption.NOFOLLOW_LINKS);
  }

  boolean isTooLarge() throws IOException {
    return size() > MAX_BYTES;
  }

  Content read() throws IOException {
    byte[] bytes = head(MAX_BYTES);
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

  /** Its first bytes. */
  byte[] head(int most) throws IOException {
    try (FileChannel file =
        FileChannel.open(path, Set.of(StandardOpenOption.READ, LinkOption.NOFOLLOW_LINKS))) {
      return Channels.newInputStream(file).readNBytes(most);
    }
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
