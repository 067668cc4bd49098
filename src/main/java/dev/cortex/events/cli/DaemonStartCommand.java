package dev.cortex.events.cli;

import dev.cortex.events.command.InvalidCommandException;
import dev.cortex.events.daemon.DaemonDefinition;
import dev.cortex.events.daemon.EventDaemons;
import dev.cortex.events.daemon.LocalDaemons;
import dev.cortex.events.daemon.Supervisor;
import dev.cortex.events.event.CortexException;
import dev.cortex.events.event.ErrorCode;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Json;
import java.io.IOException;
import java.sql.SQLException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;
import picocli.CommandLine.Spec;

@Command(
    name = "start",
    description = {
      "Start a daemon, and say whether it has started.",
      "Where the database is away, a daemon with a file on this host is started as a process all the same."
    })
final class DaemonStartCommand implements Callable<Integer> {
  private static final int NOT_STARTED = 1;
  private static final long LOOK_MILLIS = 50;

  @ParentCommand private DaemonCommand daemons;

  @Spec private CommandSpec spec;

  @Parameters(paramLabel = "NAME", description = "Which one.")
  private String name;

  @Option(
      names = "--wait",
      paramLabel = "S",
      defaultValue = "10",
      description = "Seconds to wait for a handler's answer; ${DEFAULT-VALUE} unless given.")
  private int waitSeconds;

  @Option(
      names = "--reason",
      paramLabel = "TEXT",
      defaultValue = "cortex daemon start, no reason given",
      description = "Why; recorded with your login. \"${DEFAULT-VALUE}\" unless given.")
  void giveReason(String text) {
    reason = Reason.checked(spec, text);
  }

  private String reason = "";

  @Override
  public Integer call() throws SQLException, IOException, InterruptedException {
    daemons.requireName(name);
    daemons.cortex().requireWithin("--wait", waitSeconds, 0, 600);
    Optional<EventDaemons.Status> handlers = Optional.empty();
    @Nullable Exception absence = null;
    try {
      handlers = daemons.handlersOf(name);
    } catch (CortexException | SQLException e) {
      absence = e;
    }
    if (handlers.isPresent()) {
      return startHandlers(handlers.get());
    }
    Optional<DaemonDefinition> process = laidOut();
    if (process.isEmpty()) {
      rethrow(absence);
      throw daemons.unknown(
          name,
          daemons.ask(Role.AUDITOR, (all, connection) -> all.all()).stream()
              .map(EventDaemons.Status::daemon)
              .toList());
    }
    return startProcess(process.get());
  }

  private static void rethrow(@Nullable Exception absence) throws SQLException {
    if (absence instanceof SQLException sql) {
      throw sql;
    }
    if (absence instanceof CortexException known) {
      throw known;
    }
  }

  private Integer startHandlers(EventDaemons.Status daemon)
      throws SQLException, InterruptedException {
    String request =
        daemons.ask(
            Role.OPERATOR,
            (all, connection) -> {
              connection.setAutoCommit(false);
              String asked = all.start(daemon, reason);
              connection.commit();
              return asked;
            });
    Optional<EventDaemons.Answer> answer =
        daemons.ask(Role.AUDITOR, (all, connection) -> await(all, request));
    if (answer.isEmpty()) {
      daemons
          .cortex()
          .console()
          .remark(
              name
                  + " is asked for by "
                  + request
                  + ", and nobody has answered within "
                  + waitSeconds
                  + " s; is a worker running (`cortex worker`)?");
      return ErrorCode.TEMPORARY.exitStatus();
    }
    if (!answer.get().isStarted()) {
      daemons.cortex().console().remark(name + " is not started: " + answer.get().reason());
      return NOT_STARTED;
    }
    daemons.cortex().console().print("started, as " + String.join(", ", daemon.handlers()));
    return 0;
  }

  private Optional<EventDaemons.Answer> await(EventDaemons all, String request)
      throws SQLException, InterruptedException {
    long deadline = System.nanoTime() + TimeUnit.SECONDS.toNanos(waitSeconds);
    Optional<EventDaemons.Answer> answer = all.answer(request);
    while (answer.isEmpty() && System.nanoTime() < deadline) {
      TimeUnit.MILLISECONDS.sleep(LOOK_MILLIS);
      answer = all.answer(request);
    }
    return answer;
  }

  /** A file that is refused is told of like any other daemon that does not start. */
  private Optional<DaemonDefinition> laidOut() {
    try {
      return daemons.directory().find(name);
    } catch (InvalidCommandException e) {
      request();
      tell("daemon.start_refused", Map.of("reason", String.valueOf(e.getMessage())));
      throw e;
    }
  }

  private Integer startProcess(DaemonDefinition daemon) throws IOException {
    LocalDaemons local = daemons.local();
    LocalDaemons.Status status = local.status(daemon.name());
    if (status.isUp()) {
      daemons
          .cortex()
          .console()
          .print("runs already" + status.pid().map(pid -> ", process " + pid).orElse(""));
      return 0;
    }
    String said =
        DaemonRunCommand.leaveBehind(daemons, daemon.name(), request(), local.home(daemon.name()));
    if (said.startsWith(DaemonRunCommand.STARTED)) {
      daemons
          .cortex()
          .console()
          .print(said + "; its output is in " + local.home(daemon.name()).output());
      return 0;
    }
    if (said.equals(Supervisor.RUNS_ALREADY)) { // another start was faster
      daemons.cortex().console().print("runs already");
      return 0;
    }
    daemons
        .cortex()
        .console()
        .remark(
            name
                + " does not stay up: "
                + said
                + "; its output is in "
                + local.home(daemon.name()).output());
    return NOT_STARTED;
  }

  /** The public id of the request, where it could be recorded. */
  private Optional<String> request() {
    return tell("system.daemon_start_requested", Map.of("reason", reason));
  }

  /** A process does not need the database: what it does not hear of is said here. */
  private Optional<String> tell(String type, Map<String, String> facts) {
    Map<String, String> payload = new LinkedHashMap<>();
    payload.put("daemon", name);
    payload.put("host", DaemonCommand.host());
    payload.putAll(facts);
    try {
      return Optional.of(
          daemons.emit(EventDraft.of(type, DaemonCommand.SOURCE).withPayload(Json.of(payload))));
    } catch (CortexException | SQLException e) {
      daemons.cortex().console().remark(type + " is not recorded: " + ErrorReport.message(e));
      return Optional.empty();
    }
  }
}
