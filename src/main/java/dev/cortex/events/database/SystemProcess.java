package dev.cortex.events.database;

import java.io.IOException;
import java.nio.charset.Charset;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;

/** Commands that are run to their end, and a look at processes that are not ours. */
final class SystemProcess {
  private static final Duration LONGEST_RUN = Duration.ofMinutes(5);

  /** In which the JVM writes paths and arguments, and so reads them back. */
  private static final Charset SYSTEM =
      Charset.forName(System.getProperty("sun.jnu.encoding", "UTF-8"));

  /** How a command ended, and what it wrote to both of its outputs. */
  record Result(int status, String output) {
    boolean succeeded() {
      return status == 0;
    }
  }

  private SystemProcess() {}

  /** Runs a command to its end with this as its input, which a pipe must be able to hold. */
  static Result run(List<String> command, String input) throws IOException {
    return run(command, input, LONGEST_RUN);
  }

  /**
   * Likewise, for no longer than this: then it is killed and has failed. Its output goes to a file,
   * since the end of a pipe may be held open by whatever the command has left behind.
   */
  static Result run(List<String> command, String input, Duration longest) throws IOException {
    Path output = Files.createTempFile("cortex", ".output");
    try {
      Process process =
          builder(command).redirectErrorStream(true).redirectOutput(output.toFile()).start();
      try (var stdin = process.outputWriter(StandardCharsets.UTF_8)) {
        stdin.write(input);
      } catch (IOException e) {
        // It ended without reading all of its input; the status says how.
      }
      int status = await(process, longest);
      return new Result(status, new String(Files.readAllBytes(output), StandardCharsets.UTF_8));
    } finally {
      Files.delete(output);
    }
  }

  private static int await(Process process, Duration longest) {
    try {
      if (process.waitFor(longest.toMillis(), TimeUnit.MILLISECONDS)) {
        return process.exitValue();
      }
    } catch (InterruptedException e) {
      Thread.currentThread().interrupt();
    }
    // Itself first: a shell whose child was killed would write so.
    List<ProcessHandle> descendants = process.descendants().toList();
    process.destroyForcibly();
    descendants.forEach(ProcessHandle::destroyForcibly);
    return -1;
  }

  /**
   * A command in an environment of its own: PG* and LC_* variables of the caller would change what
   * PostgreSQL's programs do.
   */
  static ProcessBuilder builder(List<String> command) {
    ProcessBuilder builder = new ProcessBuilder(command);
    Map<String, String> environment = builder.environment();
    String path = environment.getOrDefault("PATH", "");
    environment.clear();
    environment.put("PATH", path + ":/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin");
    environment.put("LC_ALL", "C");
    return builder.directory(Path.of("/").toFile());
  }

  static boolean works(String... command) {
    try {
      return run(List.of(command), "").succeeded();
    } catch (IOException e) {
      return false; // there is no such program
    }
  }

  /**
   * Whether the process lives and has this file in its command line. The id alone proves nothing:
   * it may belong to somebody else by now, or to a dead process that nobody has collected.
   */
  static boolean lives(long pid, Path file) {
    return arguments(pid).stream().anyMatch(argument -> names(argument, file));
  }

  /** By whatever path: the process may have been started through a link. */
  private static boolean names(String argument, Path file) {
    if (argument.equals(file.toString())) {
      return true;
    }
    try {
      return argument.endsWith("/" + file.getFileName())
          && Files.isSameFile(Path.of(argument), file);
    } catch (IOException | InvalidPathException e) {
      return false; // of a directory that is gone, or in an encoding that this JVM cannot write
    }
  }

  /** The command line from the program on; empty if the process is dead or cannot be seen. */
  static List<String> arguments(long pid) {
    if (!Files.isDirectory(Path.of("/proc/self"))) {
      return ProcessHandle.of(pid).map(SystemProcess::arguments).orElse(List.of());
    }
    try {
      Path file = Path.of("/proc", Long.toString(pid), "cmdline");
      String line = new String(Files.readAllBytes(file), SYSTEM);
      return line.isEmpty() ? List.of() : List.of(line.split("\0", -1));
    } catch (IOException e) {
      return List.of();
    }
  }

  private static List<String> arguments(ProcessHandle process) {
    List<String> arguments = new ArrayList<>();
    process.info().command().ifPresent(arguments::add);
    process.info().arguments().ifPresent(rest -> arguments.addAll(List.of(rest)));
    return arguments;
  }

  static void signal(String name, long pid) throws IOException {
    run(List.of("/bin/sh", "-c", "kill -\"$1\" \"$2\"", "sh", name, Long.toString(pid)), "");
  }

  static List<String> concat(List<String> first, String... then) {
    List<String> all = new ArrayList<>(first);
    all.addAll(List.of(then));
    return all;
  }

  /** The number in the first line of a file, if there is one. */
  static Optional<Long> number(Path file) {
    try (var lines = Files.lines(file, StandardCharsets.ISO_8859_1)) {
      @Nullable String first = lines.findFirst().orElse(null);
      return first == null ? Optional.empty() : Optional.of(Long.valueOf(first.strip()));
    } catch (IOException | NumberFormatException e) {
      return Optional.empty();
    }
  }
}
