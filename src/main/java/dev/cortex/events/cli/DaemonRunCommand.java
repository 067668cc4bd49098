package dev.cortex.events.cli;

import dev.cortex.events.daemon.DaemonDefinition;
import dev.cortex.events.daemon.DaemonEvents;
import dev.cortex.events.daemon.DaemonHome;
import dev.cortex.events.daemon.DaemonJournal;
import dev.cortex.events.daemon.Supervisor;
import dev.cortex.events.database.OwnSession;
import dev.cortex.events.spool.Postbox;
import dev.cortex.events.spool.Spool;
import java.io.File;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.time.Clock;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "run",
    description = {
      "Keep a daemon of this host running, in the foreground: for systemd and containers.",
      "SIGTERM or Ctrl-C: end it with all that it has started, and exit with 0. Exit status 1: it has"
          + " failed, and is not started again."
    })
final class DaemonRunCommand implements Callable<Integer> {
  /** What the first line begins with when the program has lived for a second. */
  static final String STARTED = "started";

  private static final int FAILED = 1;

  @ParentCommand private DaemonCommand daemons;

  @Parameters(paramLabel = "NAME", description = "Which one.")
  private String name;

  @Option(names = "--request", hidden = true, description = "The event that asked for it.")
  private Optional<String> request;

  @Option(
      names = "--left-behind",
      hidden = true,
      description = "Say on standard output how it went.")
  private boolean isLeftBehind;

  @Override
  public Integer call() throws IOException, InterruptedException {
    daemons.requireName(name);
    if (System.getProperty("cortex.log") == null) {
      System.setProperty("cortex.log", "INFO"); // its life, on standard error
    }
    DaemonDefinition daemon =
        daemons.directory().find(name).orElseThrow(() -> daemons.unknown(name, List.of()));
    try (StopSignals stop = StopSignals.listen();
        DaemonEvents events =
            new DaemonEvents(
                DaemonCommand.SOURCE,
                new DaemonEvents.Host(DaemonCommand.host(), daemon.directory()),
                request,
                daemons::emit,
                Postbox.away(Spool.usual(daemons.cortex().console().environment()))::post,
                Clock.systemUTC())) {
      FirstWord first = new FirstWord(daemons.cortex().console(), events);
      Supervisor supervisor =
          new Supervisor(
              daemon, daemons.local().home(name), isLeftBehind ? first : events, environment());
      stop.onFirst(() -> supervisor.stop("asked to stop"));
      Supervisor.End end = supervisor.run();
      first.say(isLeftBehind ? end.reason() : "");
      if (!end.isOrderly()) {
        daemons.cortex().console().remark(name + ": " + end.reason());
      }
      return end.isOrderly() ? 0 : FAILED;
    }
  }

  /** Ours, with the database and the spool of this call, of which the daemon gets what it may. */
  private Map<String, String> environment() {
    Cortex cortex = daemons.cortex();
    Map<String, String> environment = new HashMap<>(cortex.console().environment());
    environment.put(
        "CORTEX_SPOOL_DIR", Spool.usual(cortex.console().environment()).directory().toString());
    cortex.databaseUrl().ifPresent(url -> environment.put("DATABASE_URL", url));
    cortex
        .dataDirectory()
        .ifPresent(
            directory -> {
              environment.remove("DATABASE_URL");
              environment.put(
                  DatabaseChoice.DIRECTORY_VARIABLE, directory.toAbsolutePath().toString());
            });
    return environment;
  }

  /** Says once how it begins: after a second of life, or as soon as it has ended. */
  private static final class FirstWord implements DaemonJournal {
    private final CompletableFuture<String> word = new CompletableFuture<>();
    private final DaemonJournal rest;
    private volatile boolean isStarted;

    FirstWord(Console console, DaemonJournal rest) {
      this.rest = rest;
      CompletableFuture<Void> unused =
          word.thenAccept(
              said -> {
                console.print(said);
                console.out().flush();
              });
    }

    /** Unless it was said already; nothing, if there is nothing to say. */
    void say(String said) {
      if (!said.isEmpty()) {
        boolean unused = word.complete(said);
      }
    }

    @Override
    public void started(String daemon, long pid, int restarts) {
      isStarted = true;
      CompletableFuture<String> unused =
          word.completeOnTimeout(STARTED + ", process " + pid, 1, TimeUnit.SECONDS);
      rest.started(daemon, pid, restarts);
    }

    @Override
    public void stopped(String daemon, long pid, String reason) {
      if (isStarted) { // else it is what the supervisor before has left behind
        say(reason);
      }
      rest.stopped(daemon, pid, reason);
    }

    @Override
    public void refused(String daemon, String reason) {
      say(reason);
      rest.refused(daemon, reason);
    }
  }

  /** Starts a process that does this, tied to nothing of ours, and returns the first word of it. */
  static String leaveBehind(
      DaemonCommand daemons, String name, Optional<String> request, DaemonHome home)
      throws IOException {
    Cortex cortex = daemons.cortex();
    List<String> arguments = new ArrayList<>();
    cortex.dataDirectory().ifPresent(path -> arguments.addAll(List.of("--data-dir", "" + path)));
    arguments.addAll(
        List.of(
            "--role-prefix",
            cortex.rolePrefix(),
            "daemon",
            "run",
            name,
            "--left-behind",
            "--daemons",
            daemons.directory().path().toString()));
    request.ifPresent(id -> arguments.addAll(List.of("--request", id)));
    ProcessBuilder builder =
        new ProcessBuilder(
                OwnSession.command(
                    JavaProgram.command(
                        List.of("-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx32m"),
                        arguments.toArray(String[]::new))))
            .redirectInput(ProcessBuilder.Redirect.from(new File("/dev/null")))
            .redirectError(ProcessBuilder.Redirect.appendTo(home.supervisorLog().toFile()));
    builder.environment().putAll(cortex.console().environment());
    // Not as an argument: it may hold a password, and everybody sees arguments.
    cortex.databaseUrl().ifPresent(url -> builder.environment().put("DATABASE_URL", url));
    try (var said = builder.start().inputReader(StandardCharsets.UTF_8)) {
      @Nullable String word = said.readLine();
      return word == null ? "its supervisor has ended; see " + home.supervisorLog() : word;
    }
  }
}
