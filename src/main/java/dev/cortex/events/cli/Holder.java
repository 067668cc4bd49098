package dev.cortex.events.cli;

import java.io.IOException;
import java.nio.file.Path;

/** A process left behind, which holds an embedded server for whoever was told its address. */
final class Holder {
  private static final int IDLE_MINUTES = 10;

  private Holder() {}

  /** Starts it, tied to nothing of ours: not to our output, which somebody waits to see closed. */
  static void leaveBehind(Path directory) throws IOException {
    new ProcessBuilder(
            JavaProgram.command(
                java.util.List.of("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx48m"),
                "--data-dir",
                directory.toString(),
                "database",
                "--until-idle",
                Integer.toString(IDLE_MINUTES)))
        .redirectInput(ProcessBuilder.Redirect.from(new java.io.File("/dev/null")))
        .redirectOutput(ProcessBuilder.Redirect.DISCARD)
        .redirectError(ProcessBuilder.Redirect.DISCARD)
        .start();
  }
}
