package dev.cortex.events.command;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/**
 * One run of a program, started directly and never by a shell. Where there is {@code setsid}, it
 * leads a session of its own, by which all that it starts is found again, also what its parent has
 * left behind. Closing ends what is left of it: SIGTERM, and SIGKILL when the grace is over. What
 * gives itself a session of its own and loses its parent escapes; without {@code setsid}, so does
 * whatever loses its parent.
 *
 * <p>Input and output are files: a program that reads nothing or writes without end blocks nobody,
 * and what it leaves behind with its output open keeps nobody waiting.
 */
final class ProgramRun implements AutoCloseable {
  private static final Duration GRACE = Duration.ofSeconds(2);
  private static final long LOOK_MILLIS = 20;

  private static final Optional<Path> SETSID =
      Stream.of(Path.of("/usr/bin/setsid"), Path.of("/bin/setsid"))
          .filter(Files::isExecutable)
          .findFirst();

  private final Process process;
  private final RunDirectory directory;

  private ProgramRun(Process process, RunDirectory directory) {
    this.process = process;
    this.directory = directory;
  }

  static ProgramRun start(Path program, RunDirectory directory, Map<String, String> environment)
      throws IOException {
    List<String> command = new ArrayList<>();
    SETSID.ifPresent(path -> command.add(path.toString()));
    command.add(program.toString());
    command.add(directory.eventFile().toString());
    ProcessBuilder builder =
        new ProcessBuilder(command)
            .directory(directory.path().toFile())
            .redirectInput(directory.eventFile().toFile())
            .redirectOutput(ProcessBuilder.Redirect.appendTo(directory.outputFile().toFile()))
            .redirectErrorStream(true);
    builder.environment().clear();
    builder.environment().putAll(environment);
    return new ProgramRun(builder.start(), directory);
  }

  /** Waits for the end of the program and returns its exit status; 128 and more: of a signal. */
  int await() throws InterruptedException, IOException {
    while (!process.waitFor(LOOK_MILLIS, TimeUnit.MILLISECONDS)) {
      directory.boundOutput();
    }
    return process.exitValue();
  }

  @Override
  public void close() {
    long deadline = System.nanoTime() + GRACE.toNanos();
    boolean isTold = false;
    for (List<ProcessHandle> left = left(); !left.isEmpty(); left = left()) {
      if (System.nanoTime() - deadline >= 0) {
        left.forEach(ProcessHandle::destroyForcibly);
      } else if (!isTold) {
        left.forEach(ProcessHandle::destroy);
        isTold = true;
      }
      pause();
    }
  }

  /** Whatever interrupts this thread has been told by then, and the program is ending. */
  private static void pause() {
    try {
      TimeUnit.MILLISECONDS.sleep(LOOK_MILLIS);
    } catch (InterruptedException e) {
      // It ends in two seconds all the same.
    }
  }

  /** What lives of the program and of all that it has started. */
  private List<ProcessHandle> left() {
    Stream<ProcessHandle> family =
        Stream.concat(Stream.of(process.toHandle()), process.descendants());
    Stream<ProcessHandle> session =
        SETSID.isPresent() ? ProcessSession.members(process.pid()) : Stream.empty();
    return Stream.concat(family, session).filter(ProcessHandle::isAlive).distinct().toList();
  }
}
