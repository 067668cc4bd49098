package dev.cortex.events.daemon;

import dev.cortex.events.command.InvalidCommandException;
import dev.cortex.events.command.ProgramSession;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import java.util.stream.Stream;

/** The daemons of this host that are processes: which run, and ending them. */
public final class LocalDaemons {
  private static final Duration PATIENCE = Duration.ofSeconds(10);
  private static final long LOOK_MILLIS = 20;

  private final DaemonDirectory definitions;
  private final Path homes;

  /**
   * Those of a directory.
   *
   * @param definitions what the operator has laid out
   * @param homes below which each has its lock, its record and its output
   */
  public LocalDaemons(DaemonDirectory definitions, Path homes) {
    this.definitions = definitions;
    this.homes = homes;
  }

  /**
   * One as it is now, by what lives on this host.
   *
   * @param state running; waiting, to be started again; orphaned, without a supervisor; stopped;
   *     failed, and not started again
   * @param pid of its program, where that lives
   * @param reason why it is not running, where that is known
   */
  public record Status(String daemon, String state, Optional<Long> pid, String reason) {
    /** Whether its program lives, or will soon. */
    public boolean isUp() {
      return state.equals("running") || state.equals("waiting");
    }
  }

  /** How stopping went: whether anything was running, and what is worth telling. */
  public record Stop(boolean wasRunning, Optional<String> mishap, long pid) {}

  /** Where one keeps its own. */
  public DaemonHome home(String daemon) {
    return DaemonHome.of(homes, daemon);
  }

  /** All that are laid out, and those that still run though they are laid out no more. */
  public List<Status> all() {
    TreeSet<String> names = new TreeSet<>(definitions.names());
    names.addAll(withAHome());
    return names.stream()
        .map(this::status)
        .filter(status -> definitions.names().contains(status.daemon()) || isAlive(status))
        .toList();
  }

  private static boolean isAlive(Status status) {
    return status.isUp() || status.state().equals("orphaned");
  }

  private List<String> withAHome() {
    if (!Files.isDirectory(homes)) {
      return List.of();
    }
    try (Stream<Path> entries = Files.list(homes)) {
      return entries
          .map(entry -> entry.getFileName().toString())
          .filter(DaemonDirectory::isName)
          .toList();
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  /** One, whether it is laid out or not. */
  public Status status(String daemon) {
    DaemonHome home = home(daemon);
    Optional<DaemonHome.Run> run = home.run();
    if (home.isHeld()) {
      boolean isRunning = run.filter(known -> known.state().equals("running")).isPresent();
      return new Status(
          daemon,
          isRunning ? "running" : "waiting",
          run.filter(known -> isRunning).map(DaemonHome.Run::program),
          run.map(DaemonHome.Run::reason).orElse(""));
    }
    if (run.isEmpty()) {
      return new Status(daemon, "stopped", Optional.empty(), "never started here");
    }
    if (!run.get().state().equals("running")) {
      return new Status(daemon, run.get().state(), Optional.empty(), run.get().reason());
    }
    boolean isOrphaned =
        ProgramSession.orphans(run.get().program(), run.get().variable()).findAny().isPresent();
    return isOrphaned
        ? new Status(
            daemon, "orphaned", Optional.of(run.get().program()), "its supervisor was killed")
        : new Status(daemon, "failed", Optional.empty(), "killed together with its supervisor");
  }

  /**
   * Ends one: tells its supervisor, which ends the program; a supervisor that does not answer is
   * killed, and what it leaves behind ended from here. Returns when nothing of it lives.
   */
  public Stop stop(String daemon) throws IOException, InterruptedException {
    DaemonHome home = home(daemon);
    Optional<DaemonHome.Run> run = home.run();
    if (run.isEmpty() && !home.isHeld()) {
      return new Stop(false, Optional.empty(), 0);
    }
    long program = run.map(DaemonHome.Run::program).orElse(0L);
    Duration stopTime = stopTime(daemon);
    Optional<String> mishap = Optional.empty();
    Optional<ProcessHandle> supervisor = home.supervisor();
    boolean wasRunning = supervisor.isPresent();
    if (wasRunning && !endInOrder(home, supervisor.get(), stopTime)) {
      mishap = Optional.of("its supervisor did not answer and was killed");
    }
    Optional<DaemonHome.Run> left = home.run();
    if (left.isPresent()
        && ProgramSession.endOrphans(left.get().program(), left.get().variable(), stopTime)) {
      wasRunning = true;
      mishap = Optional.of(mishap.orElse("its supervisor had been killed"));
    }
    if (mishap.isPresent()) {
      home.write(new DaemonHome.Run(program, "", 0, "stopped", mishap.orElseThrow()));
    }
    return new Stop(wasRunning, mishap, program);
  }

  /** A file that is refused by now, or gone, is no reason to leave the daemon running. */
  private Duration stopTime(String daemon) {
    try {
      return definitions
          .find(daemon)
          .map(DaemonDefinition::stopTime)
          .orElse(DaemonDefinition.STOP_TIME);
    } catch (InvalidCommandException e) {
      return DaemonDefinition.STOP_TIME;
    }
  }

  /** It lets go of the lock when the program has ended; what it has to tell, it tells then. */
  private static boolean endInOrder(DaemonHome home, ProcessHandle supervisor, Duration stopTime)
      throws InterruptedException {
    boolean unused = supervisor.destroy();
    long deadline = System.nanoTime() + stopTime.plus(PATIENCE).toNanos();
    while (home.isHeld()) {
      if (System.nanoTime() > deadline) {
        boolean unusedToo = supervisor.destroyForcibly();
        supervisor.onExit().join();
        return false;
      }
      TimeUnit.MILLISECONDS.sleep(LOOK_MILLIS);
    }
    return true;
  }
}
