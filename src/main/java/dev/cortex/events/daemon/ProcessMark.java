package dev.cortex.events.daemon;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/**
 * Which process it is, also after its number has been given to another one: the number, and when it
 * began.
 *
 * @param text one line
 */
record ProcessMark(String text) {
  private static final int START_TIME = 22;

  static ProcessMark of(ProcessHandle process) {
    return new ProcessMark(process.pid() + " " + start(process));
  }

  /** The process of a mark, where it lives. */
  static Optional<ProcessHandle> living(String mark) {
    int end = mark.indexOf(' ');
    try {
      return ProcessHandle.of(Long.parseLong(mark.substring(0, Math.max(end, 0))))
          .filter(process -> of(process).text().equals(mark));
    } catch (NumberFormatException e) {
      return Optional.empty();
    }
  }

  /** By the kernel's ticks since its own start; a wall clock that is set moves the other one. */
  private static String start(ProcessHandle process) {
    try {
      String stat =
          Files.readString(
              Path.of("/proc/" + process.pid() + "/stat"), StandardCharsets.ISO_8859_1);
      // The second field, a name, may hold blanks and brackets.
      String[] afterName = stat.substring(stat.lastIndexOf(')') + 2).split(" ", -1);
      String boot = Files.readString(Path.of("/proc/sys/kernel/random/boot_id")).strip();
      return boot + " " + afterName[START_TIME - 3];
    } catch (IOException e) {
      return process.info().startInstant().map(Object::toString).orElse("");
    }
  }
}
