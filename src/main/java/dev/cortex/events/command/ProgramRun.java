package dev.cortex.events.command;

import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/**
 * One run of a program for one event. Closing ends it with all that it has started.
 *
 * <p>Input and output are files: a program that reads nothing or writes without end blocks nobody,
 * and what it leaves behind with its output open keeps nobody waiting.
 */
final class ProgramRun implements AutoCloseable {
  private static final Duration GRACE = Duration.ofSeconds(2);
  private static final long LOOK_MILLIS = 20;

  private final ProgramSession session;
  private final RunDirectory directory;

  private ProgramRun(ProgramSession session, RunDirectory directory) {
    this.session = session;
    this.directory = directory;
  }

  static ProgramRun start(Path program, RunDirectory directory, Map<String, String> environment)
      throws IOException {
    ProcessBuilder builder =
        new ProcessBuilder(List.of(program.toString(), directory.eventFile().toString()))
            .directory(directory.work().toFile())
            .redirectInput(directory.eventFile().toFile())
            .redirectOutput(ProcessBuilder.Redirect.appendTo(directory.outputFile().toFile()))
            .redirectErrorStream(true);
    return new ProgramRun(ProgramSession.start(builder, environment, GRACE), directory);
  }

  /** Waits for the end of the program and returns its exit status; 128 and more: of a signal. */
  int await() throws InterruptedException, IOException {
    while (!session.process().waitFor(LOOK_MILLIS, TimeUnit.MILLISECONDS)) {
      directory.boundOutput();
    }
    return session.process().exitValue();
  }

  @Override
  public void close() {
    session.close();
  }
}
