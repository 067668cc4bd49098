package dev.cortex.events.command;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalLong;
import java.util.stream.Stream;

/**
 * The processes of a session, as Linux's {@code /proc} tells them; none where there is no {@code
 * /proc}. The number of a session is not given to another process as long as it has a member.
 */
final class ProcessSession {
  private static final Path PROC = Path.of("/proc");

  /** Of the fields behind the program's name, which may hold anything, blanks and ) included. */
  private static final int STATE = 0;

  private static final int SESSION = 3;

  private ProcessSession() {}

  static Stream<ProcessHandle> members(long session) {
    if (!Files.isDirectory(PROC)) {
      return Stream.empty();
    }
    try (Stream<Path> entries = Files.list(PROC)) {
      List<ProcessHandle> members =
          entries
              .map(entry -> entry.getFileName().toString())
              .filter(name -> name.chars().allMatch(Character::isDigit))
              .filter(pid -> sessionOf(pid).equals(OptionalLong.of(session)))
              .map(pid -> ProcessHandle.of(Long.parseLong(pid)))
              .flatMap(Optional::stream)
              .toList();
      return members.stream();
    } catch (IOException e) {
      return Stream.empty();
    }
  }

  /** Whether a process was started with this variable, as NAME=VALUE. */
  static boolean hasVariable(long pid, String variable) {
    try {
      Path file = PROC.resolve(Long.toString(pid)).resolve("environ");
      String environment = new String(Files.readAllBytes(file), StandardCharsets.UTF_8);
      return List.of(environment.split("\0")).contains(variable);
    } catch (IOException e) {
      return false; // it has ended, or is another user's
    }
  }

  /** Empty for a process that has ended, waited for or not. */
  private static OptionalLong sessionOf(String pid) {
    try {
      String stat = Files.readString(PROC.resolve(pid).resolve("stat"));
      List<String> fields = Arrays.asList(stat.substring(stat.lastIndexOf(')') + 2).split(" "));
      return fields.get(STATE).equals("Z")
          ? OptionalLong.empty()
          : OptionalLong.of(Long.parseLong(fields.get(SESSION)));
    } catch (IOException e) {
      return OptionalLong.empty();
    }
  }
}
