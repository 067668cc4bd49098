package dev.cortex.events.cli;

import dev.cortex.events.daemon.EventDaemons;
import dev.cortex.events.daemon.LocalDaemons;
import dev.cortex.events.event.CortexException;
import java.sql.SQLException;
import java.time.Instant;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "status",
    description = {
      "Show the daemons: those that are handlers, the processes of this host by what lives here, and those"
          + " of other hosts by what was told last.",
      "With a name: exit status 0 when it runs, 1 when not."
    })
final class DaemonStatusCommand implements Callable<Integer> {
  private static final int NOT_RUNNING = 1;

  private record Line(
      String daemon,
      String kind,
      String state,
      Optional<String> host,
      Optional<Long> pid,
      Optional<Instant> since,
      String reason) {
    boolean isRunning() {
      return state.equals("running") || state.equals("started");
    }
  }

  private static final Report<Line> REPORT =
      Report.of("daemon", Line::daemon)
          .with("kind", Line::kind)
          .with("state", Line::state)
          .with("host", Line::host)
          .with("pid", Line::pid)
          .with("since", Line::since)
          .with("reason", Line::reason);

  @ParentCommand private DaemonCommand daemons;

  @Parameters(paramLabel = "NAME", arity = "0..1", description = "Only this one.")
  private Optional<String> name;

  @Option(names = "--json", description = "As a JSON array.")
  private boolean json;

  @Override
  public Integer call() throws InterruptedException {
    name.ifPresent(daemons::requireName);
    List<Line> lines = new ArrayList<>(told());
    daemons.local().all().forEach(status -> lines.add(here(status)));
    List<Line> wanted =
        lines.stream().filter(line -> name.isEmpty() || line.daemon().equals(name.get())).toList();
    if (wanted.isEmpty() && name.isPresent()) {
      throw daemons.unknown(name.get(), lines.stream().map(Line::daemon).toList());
    }
    daemons.cortex().answer(REPORT, wanted, json);
    return name.isEmpty() || wanted.stream().anyMatch(Line::isRunning) ? 0 : NOT_RUNNING;
  }

  /** By the database, which may be away: then there are the processes of this host still. */
  private List<Line> told() throws InterruptedException {
    try {
      return daemons.ask(
          Role.AUDITOR,
          (all, connection) -> {
            List<Line> lines = new ArrayList<>();
            all.all().forEach(status -> lines.add(handlers(status)));
            all.toldOfOtherHosts(DaemonCommand.host()).forEach(last -> lines.add(elsewhere(last)));
            return lines;
          });
    } catch (CortexException | SQLException e) {
      daemons
          .cortex()
          .console()
          .remark("only processes of this host are shown: " + ErrorReport.message(e));
      return List.of();
    }
  }

  private static Line handlers(EventDaemons.Status status) {
    return new Line(
        status.daemon(),
        "handlers",
        status.state(),
        Optional.empty(),
        Optional.empty(),
        Optional.empty(),
        status.reason());
  }

  private static Line elsewhere(EventDaemons.Told told) {
    return new Line(
        told.daemon(),
        "process",
        told.state(),
        Optional.of(told.host()),
        told.pid(),
        Optional.of(told.since()),
        told.reason());
  }

  private static Line here(LocalDaemons.Status status) {
    return new Line(
        status.daemon(),
        "process",
        status.state(),
        Optional.of(DaemonCommand.host()),
        status.pid(),
        status.pid().flatMap(ProcessHandle::of).flatMap(process -> process.info().startInstant()),
        status.reason());
  }
}
