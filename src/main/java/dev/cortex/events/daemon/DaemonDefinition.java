package dev.cortex.events.daemon;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Set;

/**
 * A daemon as its operator has laid it out.
 *
 * @param name what it is called everywhere
 * @param command an absolute path and arguments, given to the program as they are
 * @param directory where it works
 * @param environment which variables of the supervisor's environment it gets
 * @param restarts when it is started again
 * @param stopTime between SIGTERM and SIGKILL
 */
public record DaemonDefinition(
    String name,
    List<String> command,
    Path directory,
    Set<String> environment,
    RestartPolicy restarts,
    Duration stopTime) {
  static final Duration STOP_TIME = Duration.ofSeconds(10);

  /** Checks what needs no look at the disk. */
  public DaemonDefinition {
    command = List.copyOf(command);
    environment = Set.copyOf(environment);
    if (command.isEmpty() || !Path.of(command.get(0)).isAbsolute()) {
      throw new IllegalArgumentException("must begin with an absolute path");
    }
    if (!directory.isAbsolute()) {
      throw new IllegalArgumentException("must be an absolute path, was " + directory);
    }
    if (stopTime.isNegative() || stopTime.compareTo(Duration.ofMinutes(10)) > 0) {
      throw new IllegalArgumentException("must be 0 to 600, was " + stopTime.toSeconds());
    }
  }
}
