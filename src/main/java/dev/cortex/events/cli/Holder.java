package dev.cortex.events.cli;

import dev.cortex.events.database.OwnSession;
import java.io.File;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;

/** A process left behind, which holds an embedded server for whoever was told its address. */
final class Holder {
  private static final int IDLE_MINUTES = 10;

  private Holder() {}

  /**
   * Starts it and returns when it holds the server. It is tied to nothing of ours: not to our
   * output, whose end somebody waits for, and not to our terminal.
   */
  static void leaveBehind(Path directory) throws IOException {
    Process holder =
        new ProcessBuilder(
                OwnSession.command(
                    JavaProgram.command(
                        List.of("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx48m"),
                        "--data-dir",
                        directory.toString(),
                        "database",
                        "--until-idle",
                        Integer.toString(IDLE_MINUTES))))
            .redirectInput(ProcessBuilder.Redirect.from(new File("/dev/null")))
            .redirectError(ProcessBuilder.Redirect.DISCARD)
            .start();
    if (holder.getInputStream().read() < 0) {
      throw new IOException("the process that was to hold the server has ended");
    }
  }
}
