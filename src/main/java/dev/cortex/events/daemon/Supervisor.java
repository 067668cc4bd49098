package dev.cortex.events.daemon;

import dev.cortex.events.command.CleanEnvironment;
import dev.cortex.events.command.ProgramSession;
import dev.cortex.events.file.LockedFile;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.time.Duration;
import java.util.Map;
import java.util.Optional;
import java.util.UUID;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.slf4j.Logger;
import org.slf4j.LoggerFactory;

/**
 * Keeps one daemon running on this host: starts its program, starts it again when it fails, and
 * ends it with all that it has started when it is told to stop. It is the only one: it holds the
 * daemon's lock while it lives, and first ends what a supervisor that was killed has left behind.
 *
 * <p>The database is not needed for any of it. A supervisor is a process of its own.
 */
public final class Supervisor {
  /** In the program's environment: its daemon's name. */
  private static final String NAME_VARIABLE = "CORTEX_DAEMON";

  /** In the program's environment: where what it posts waits for the database. */
  private static final String SPOOL_VARIABLE = "CORTEX_SPOOL_DIR";

  /** In the program's environment: tells its processes from those of another run. */
  static final String RUN_VARIABLE = "CORTEX_DAEMON_RUN";

  /** How {@link #run} ends beside another supervisor of the daemon. */
  public static final String RUNS_ALREADY = "it runs already";

  /** As a shell says of a program that it could not start. */
  private static final int NOT_STARTED = 127;

  private static final long MAX_OUTPUT_BYTES = 2 * 1024 * 1024;
  private static final int SKIPPED_BYTES = 8192;
  private static final Duration OUTPUT_ENDS = Duration.ofSeconds(2);
  private static final Logger LOG = LoggerFactory.getLogger(Supervisor.class);

  private final DaemonDefinition daemon;
  private final DaemonHome home;
  private final DaemonJournal journal;
  private final Map<String, String> environment;
  private final CompletableFuture<String> asked = new CompletableFuture<>();

  /**
   * How it ended.
   *
   * @param isOrderly whether it was told to stop, or the program has ended as it may
   * @param reason in words
   */
  public record End(boolean isOrderly, String reason) {}

  private record Ended(long pid, int exitStatus, Duration lived, String how) {}

  /**
   * Nothing is started yet.
   *
   * @param environment of which the daemon gets what its definition allows
   */
  public Supervisor(
      DaemonDefinition daemon,
      DaemonHome home,
      DaemonJournal journal,
      Map<String, String> environment) {
    this.daemon = daemon;
    this.home = home;
    this.journal = journal;
    this.environment = Map.copyOf(environment);
  }

  /** Lets {@link #run} end the daemon and return. From any thread, more than once. */
  public void stop(String reason) {
    boolean unused = asked.complete(reason); // the first one says why
  }

  /** Runs the daemon until it has ended for good. */
  public End run() throws IOException, InterruptedException {
    Optional<LockedFile> hold = home.hold();
    if (hold.isEmpty()) {
      return new End(false, RUNS_ALREADY);
    }
    try {
      endOrphans();
      return supervise();
    } catch (IOException e) {
      String reason = "it cannot be run: " + e.getMessage();
      journal.refused(daemon.name(), reason);
      return new End(false, reason);
    } finally {
      hold.get().close();
    }
  }

  private void endOrphans() {
    Optional<DaemonHome.Run> former = home.run();
    boolean isAny =
        former.isPresent()
            && ProgramSession.endOrphans(
                former.get().program(), former.get().variable(), daemon.stopTime());
    if (isAny) {
      journal.stopped(
          daemon.name(), former.get().program(), "left behind by a supervisor that was killed");
    }
  }

  private End supervise() throws IOException, InterruptedException {
    int restarts = 0;
    Ended ended = runOnce(restarts);
    while (true) {
      if (asked.isDone()) {
        return end(ended, true, asked.join());
      }
      String how = ended.how();
      if (!daemon.restarts().wants(ended.exitStatus())) {
        return end(ended, ended.exitStatus() == 0, how);
      }
      restarts = ended.lived().compareTo(RestartPolicy.STEADY) < 0 ? restarts + 1 : 1;
      Optional<Duration> delay = daemon.restarts().delay(restarts);
      if (delay.isEmpty()) {
        return end(ended, false, how + ", given up after " + (restarts - 1) + " restarts in a row");
      }
      tell(ended, restarts, "waiting", how + ", again in " + delay.get().toSeconds() + " s");
      if (isAskedWithin(delay.get())) {
        return end(ended, true, asked.join());
      }
      ended = runAgain(ended, restarts);
    }
  }

  /** A host that is out of processes for a while fails a restart, and is no reason to give up. */
  private Ended runAgain(Ended before, int restarts) throws InterruptedException {
    try {
      return runOnce(restarts);
    } catch (IOException e) {
      LOG.error("daemon {}: cannot be started again", daemon.name(), e);
      return new Ended(
          before.pid(), NOT_STARTED, Duration.ZERO, "it cannot be run: " + e.getMessage());
    }
  }

  /** From the start of the program to its end, by itself or since that was asked for. */
  private Ended runOnce(int restarts) throws IOException, InterruptedException {
    String id = UUID.randomUUID().toString();
    long begin = System.nanoTime();
    Process process;
    Thread output;
    try (ProgramSession session = start(id)) {
      process = session.process();
      output = keepOutput(process);
      record(new DaemonHome.Run(process.pid(), id, restarts, "running", ""));
      journal.started(daemon.name(), process.pid(), restarts);
      LOG.info("daemon {}: started, process {}", daemon.name(), process.pid());
      awaitEndOf(process);
    }
    output.join(OUTPUT_ENDS.toMillis()); // else somebody outside the session has it open
    int exitStatus = process.waitFor();
    return new Ended(
        process.pid(),
        exitStatus,
        Duration.ofNanos(System.nanoTime() - begin),
        "exit status " + exitStatus);
  }

  /** A full disk must not end a daemon; what is not written down is written with the next one. */
  private void record(DaemonHome.Run run) {
    try {
      home.write(run);
    } catch (IOException e) {
      LOG.error("daemon {}: that it is {} cannot be written down", daemon.name(), run.state(), e);
    }
  }

  private ProgramSession start(String id) throws IOException {
    Map<String, String> clean = CleanEnvironment.of(daemon.environment(), environment);
    Optional.ofNullable(environment.get(SPOOL_VARIABLE))
        .ifPresent(spool -> clean.put(SPOOL_VARIABLE, spool));
    clean.put(NAME_VARIABLE, daemon.name());
    clean.put(RUN_VARIABLE, id);
    ProcessBuilder program =
        new ProcessBuilder(daemon.command())
            .directory(daemon.directory().toFile())
            .redirectInput(ProcessBuilder.Redirect.from(new File("/dev/null")))
            .redirectErrorStream(true);
    return ProgramSession.start(program, clean, daemon.stopTime());
  }

  /** Through a pipe, so that it can be put aside while it is written, and nothing is lost. */
  private Thread keepOutput(Process process) {
    Thread reader = new Thread(() -> keepOutput(process.getInputStream()), "cortex-daemon-output");
    reader.setDaemon(true);
    reader.start();
    return reader;
  }

  /** What a full disk does not take is gone; what comes when it takes more again is kept. */
  private void keepOutput(InputStream in) {
    OutputFiles files = new OutputFiles(home.directory(), MAX_OUTPUT_BYTES);
    boolean isTold = false;
    while (true) {
      try {
        files.write(in);
        return;
      } catch (IOException e) {
        if (!isTold) {
          LOG.error("daemon {}: a part of its output is not kept", daemon.name(), e);
          isTold = true;
        }
      }
      if (!skip(in)) {
        return;
      }
    }
  }

  /** Else the program would wait for ever for somebody to read what it writes. */
  private static boolean skip(InputStream in) {
    try {
      return in.read(new byte[SKIPPED_BYTES]) >= 0;
    } catch (IOException e) {
      return false; // it has ended
    }
  }

  private void awaitEndOf(Process process) throws InterruptedException {
    try {
      CompletableFuture.anyOf(process.onExit(), asked).get();
    } catch (ExecutionException e) {
      throw new IllegalStateException("neither can fail", e);
    }
  }

  private boolean isAskedWithin(Duration delay) throws InterruptedException {
    try {
      asked.get(delay.toMillis(), TimeUnit.MILLISECONDS);
      return true;
    } catch (TimeoutException e) {
      return false;
    } catch (ExecutionException e) {
      throw new IllegalStateException("it cannot fail", e);
    }
  }

  private End end(Ended ended, boolean isOrderly, String reason) {
    tell(ended, 0, isOrderly ? "stopped" : "failed", reason);
    return new End(isOrderly, reason);
  }

  private void tell(Ended ended, int restarts, String state, String reason) {
    record(new DaemonHome.Run(ended.pid(), "", restarts, state, reason));
    journal.stopped(daemon.name(), ended.pid(), reason);
    LOG.info("daemon {}: {}", daemon.name(), reason);
  }
}
