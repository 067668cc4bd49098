package dev.cortex.events.cli;

import dev.cortex.events.daemon.EventDaemons;
import dev.cortex.events.daemon.LocalDaemons;
import dev.cortex.events.event.CortexException;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Json;
import java.io.IOException;
import java.sql.SQLException;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;
import picocli.CommandLine.Spec;

@Command(
    name = "stop",
    description = {
      "Stop a daemon: SIGTERM and, after its stop_seconds, SIGKILL to a process and all that it has"
          + " started; where it is handlers, they are paused.",
      "What is emitted for paused handlers waits for them."
    })
final class DaemonStopCommand implements Callable<Integer> {
  @ParentCommand private DaemonCommand daemons;

  @Spec private CommandSpec spec;

  @Parameters(paramLabel = "NAME", description = "Which one.")
  private String name;

  @Option(
      names = "--reason",
      paramLabel = "TEXT",
      defaultValue = "cortex daemon stop, no reason given",
      description = "Why; recorded with your login. \"${DEFAULT-VALUE}\" unless given.")
  void giveReason(String text) {
    reason = Reason.checked(spec, text);
  }

  private String reason = "";

  @Override
  public Integer call() throws SQLException, IOException, InterruptedException {
    daemons.requireName(name);
    LocalDaemons local = daemons.local();
    boolean isLaidOut = daemons.directory().names().contains(name);
    LocalDaemons.Stop process = local.stop(name);
    if (process.mishap().isPresent()) {
      tell(process, process.mishap().get());
    }
    if (process.wasRunning()) {
      daemons
          .cortex()
          .console()
          .print("stopped" + process.mishap().map(what -> ", " + what).orElse(""));
      return 0;
    }
    Optional<EventDaemons.Status> handlers =
        isLaidOut ? Optional.empty() : daemons.handlersOf(name);
    if (handlers.isPresent()) {
      stopHandlers(handlers.get());
    } else if (isLaidOut) {
      daemons.cortex().console().print("does not run on this host");
    } else {
      throw daemons.unknown(name, List.of());
    }
    return 0;
  }

  private void stopHandlers(EventDaemons.Status daemon) throws SQLException, InterruptedException {
    boolean unused =
        daemons.ask(
            Role.OPERATOR,
            (all, connection) -> {
              connection.setAutoCommit(false);
              all.stop(daemon, reason);
              connection.commit();
              return true;
            });
    daemons.cortex().console().print("stopped; paused are " + String.join(", ", daemon.handlers()));
  }

  /** Its supervisor could not. */
  private void tell(LocalDaemons.Stop process, String mishap) {
    try {
      String unused =
          daemons.emit(
              EventDraft.of("daemon.stopped", DaemonCommand.SOURCE)
                  .withPayload(
                      Json.of(
                          Map.of(
                              "daemon",
                              name,
                              "host",
                              DaemonCommand.host(),
                              "pid",
                              process.pid(),
                              "reason",
                              reason + ": " + mishap))));
    } catch (CortexException | SQLException e) {
      daemons.cortex().console().remark("the stop is not recorded: " + ErrorReport.message(e));
    }
  }
}
