package dev.cortex.events.archive;

import dev.cortex.events.CortexEvents;
import java.io.IOException;
import java.nio.file.Path;

/** A run in a process of its own, which kills itself at a given question, as kill -9 does. */
final class ArchiveProcess {
  /** Arguments: the database's address, the directory, before which step to die (0: never). */
  public static void main(String... arguments) {
    int deadly = Integer.parseInt(arguments[2]);
    int[] asked = {0};
    try (CortexEvents cortex = CortexEvents.connect(arguments[0]).as(TestLog.ROLE)) {
      ArchiveReport report =
          Archive.on(cortex.connections(1))
              .in(Path.of(arguments[1]))
              .run(
                  () -> {
                    if (++asked[0] == deadly) {
                      die();
                    }
                    return false;
                  });
      System.out.println(report.complete() ? "complete" : report.postponed());
    }
  }

  private static void die() {
    try {
      new ProcessBuilder("kill", "-9", Long.toString(ProcessHandle.current().pid()))
          .start()
          .waitFor();
    } catch (IOException | InterruptedException e) {
      throw new IllegalStateException(e);
    }
    throw new IllegalStateException("still alive");
  }

  private ArchiveProcess() {}
}
