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
import java.util.function.Supplier;
import java.util.stream.Stream;

/**
 * A running program, started directly and never by a shell. Where there is {@code setsid}, it leads
 * a session of its own, by which all that it starts is found again, also what its parent has left
 * behind. Closing ends what is left of it: SIGTERM, and SIGKILL when the grace is over. What gives
 * itself a session of its own and loses its parent escapes; without {@code setsid}, so does
 * whatever loses its parent.
 */
public final class ProgramSession implements AutoCloseable {
  private static final long LOOK_MILLIS = 20;

  private static final Optional<Path> SETSID =
      Stream.of(Path.of("/usr/bin/setsid"), Path.of("/bin/setsid"))
          .filter(Files::isExecutable)
          .findFirst();

  private final Process process;
  private final Duration grace;

  private ProgramSession(Process process, Duration grace) {
    this.process = process;
    this.grace = grace;
  }

  /**
   * Starts a program.
   *
   * @param program with its arguments, streams and directory
   * @param environment all that it gets, see {@link CleanEnvironment}
   * @param grace between SIGTERM and SIGKILL
   */
  public static ProgramSession start(
      ProcessBuilder program, Map<String, String> environment, Duration grace) throws IOException {
    List<String> command = new ArrayList<>();
    SETSID.ifPresent(path -> command.add(path.toString()));
    command.addAll(program.command());
    program.command(command);
    program.environment().clear();
    program.environment().putAll(environment);
    return new ProgramSession(program.start(), grace);
  }

  /** The program itself. Its id is that of the session, where there is one. */
  public Process process() {
    return process;
  }

  @Override
  public void close() {
    end(this::left, grace);
  }

  /**
   * Ends what is left of a session whose starter has died: the processes that were started with
   * this variable. Nothing is left where there is no {@code /proc}.
   *
   * @param session the id of the program that led it
   * @param variable as {@code NAME=VALUE}, unique to that run: the number alone may be another's by
   *     now
   * @return whether anything was
   */
  public static boolean endOrphans(long session, String variable, Duration grace) {
    boolean isAny = orphans(session, variable).findAny().isPresent();
    end(() -> orphans(session, variable).toList(), grace);
    return isAny;
  }

  /** What is left of such a session. */
  public static Stream<ProcessHandle> orphans(long session, String variable) {
    return ProcessSession.members(session)
        .filter(member -> ProcessSession.hasVariable(member.pid(), variable));
  }

  private static void end(Supplier<List<ProcessHandle>> members, Duration grace) {
    long deadline = System.nanoTime() + grace.toNanos();
    boolean isTold = false;
    for (List<ProcessHandle> left = members.get(); !left.isEmpty(); left = members.get()) {
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
      // It ends when the grace is over all the same.
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
