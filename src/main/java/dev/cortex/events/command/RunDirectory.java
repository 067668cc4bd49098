package dev.cortex.events.command;

import java.io.IOException;
import java.io.RandomAccessFile;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.stream.Stream;

/**
 * What one run of a program has on the disk: the event, and what the program writes. Nobody else on
 * the machine can read it, and it goes with the run.
 */
final class RunDirectory implements AutoCloseable {
  /** In bytes: what an attempt's error holds, the exit status aside. */
  private static final int KEPT_OUTPUT = 7_900;

  /** What a program writes beyond this is dropped, so that it cannot fill the disk. */
  private static final long MAX_OUTPUT = 1024 * 1024;

  private final Path directory;
  private final Path event;
  private final Path output;

  private RunDirectory(Path directory) {
    this.directory = directory;
    this.event = directory.resolve("event.json");
    this.output = directory.resolve("output");
  }

  /** A new one, with this envelope in it. */
  static RunDirectory of(String envelope) throws IOException {
    RunDirectory made = new RunDirectory(Files.createTempDirectory("cortex-command-"));
    try {
      Files.writeString(made.event, envelope + "\n");
      Files.createFile(made.output);
      return made;
    } catch (IOException e) {
      made.close();
      throw e;
    }
  }

  Path path() {
    return directory;
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
    if (Files.size(output) > MAX_OUTPUT) {
      try (RandomAccessFile file = new RandomAccessFile(output.toFile(), "rw")) {
        file.setLength(0);
      }
    }
  }

  /** The end of what the program has written. Bytes that are no UTF-8 are replaced. */
  String output() throws IOException {
    try (RandomAccessFile file = new RandomAccessFile(output.toFile(), "r")) {
      long length = file.length();
      file.seek(Math.max(0, length - KEPT_OUTPUT));
      byte[] end = new byte[(int) Math.min(length, KEPT_OUTPUT)];
      file.readFully(end);
      return new String(end, StandardCharsets.UTF_8);
    }
  }

  @Override
  public void close() throws IOException {
    try (Stream<Path> files = Files.walk(directory)) {
      List<Path> deepestFirst = files.sorted(Comparator.reverseOrder()).toList();
      for (Path file : deepestFirst) {
        Files.deleteIfExists(file);
      }
    }
  }
}
