package dev.cortex.events.database;

import java.util.ArrayList;
import java.util.List;

/**
 * A session of its own for a process that outlives a terminal: neither Ctrl-C nor the end of the
 * terminal reaches it.
 */
public final class OwnSession {
  private OwnSession() {}

  /** The same command, led by what gives it a session. macOS has no setsid, but has Perl. */
  public static List<String> command(List<String> command) {
    List<String> all =
        new ArrayList<>(
            SystemProcess.works("setsid", "true")
                ? List.of("setsid")
                : List.of("perl", "-MPOSIX", "-e", "POSIX::setsid(); exec @ARGV or die $!"));
    all.addAll(command);
    return all;
  }
}
