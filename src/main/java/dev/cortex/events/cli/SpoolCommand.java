package dev.cortex.events.cli;

import dev.cortex.events.event.ErrorCode;
import dev.cortex.events.spool.DrainSummary;
import dev.cortex.events.spool.Spool;
import dev.cortex.events.spool.SpoolStatus;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParentCommand;
import picocli.CommandLine.Spec;

@Command(
    name = "spool",
    description = "Events that wait in files for the database: look at them, or deliver them.",
    subcommands = {SpoolCommand.Status.class, SpoolCommand.Drain.class})
final class SpoolCommand implements Runnable {
  @ParentCommand private Cortex cortex;

  @Spec private CommandSpec spec;

  @Override
  public void run() {
    throw new ParameterException(spec.commandLine(), "either status or drain must be given");
  }

  /** Needs no database. */
  @Command(
      name = "status",
      description = "Show what waits. Exit status 0, whether anything does or not.")
  static final class Status implements Callable<Integer> {
    @ParentCommand private SpoolCommand parent;

    @Mixin private SpoolChoice choice;

    @Option(names = "--json", description = "As a JSON object.")
    private boolean json;

    @Override
    public Integer call() {
      Console console = parent.cortex.console();
      SpoolStatus status = choice.spool(console.environment()).status();
      Map<String, Object> members = members(status);
      if (json) {
        console.print(Report.json(members));
      } else {
        members.forEach(
            (name, value) ->
                console.print(
                    "%-14s  %s"
                        .formatted(name.replace('_', ' '), Inert.line(String.valueOf(value)))));
      }
      return 0;
    }

    private static Map<String, Object> members(SpoolStatus status) {
      Map<String, Object> members = new LinkedHashMap<>();
      members.put("directory", status.directory().toString());
      members.put("events", status.events());
      members.put("files", status.files());
      members.put("bytes", status.bytes());
      members.put("max_files", status.maxFiles());
      members.put("max_bytes", status.maxBytes());
      status.oldest().ifPresent(moment -> members.put("oldest", moment.toString()));
      members.put("unreadable", status.unreadable());
      members.put("damaged_files", status.damagedFiles());
      members.put("incomplete", status.incomplete().keySet().stream().map(Path::toString).toList());
      members.put("foreign", status.foreign().stream().map(Path::toString).toList());
      return members;
    }
  }

  /** Delivers and ends. */
  @Command(
      name = "drain",
      description = {
        "Deliver what waits, each event exactly once, however often this is interrupted.",
        "What the database refuses goes to the quarantine with its reason; files with damaged lines are kept"
            + " aside in the directory damaged. Exit status 0; 65 when anything was quarantined or damaged; 75 when a"
            + " file is left, since its last line is still being written or another process drains."
      })
  static final class Drain implements Callable<Integer> {
    @ParentCommand private SpoolCommand parent;

    @Mixin private SpoolChoice choice;

    @Override
    public Integer call() throws SQLException {
      Cortex cortex = parent.cortex;
      try (Installation installation = cortex.open();
          Connection connection = installation.connection(Role.EMITTER).getConnection()) {
        Spool spool = choice.spool(cortex.console().environment());
        DrainSummary done = spool.drain(connection);
        cortex
            .console()
            .print(
                "delivered %d, quarantined %d, damaged lines %d, files left %d"
                    .formatted(done.delivered(), done.quarantined(), done.damaged(), done.left()));
        if (done.left() > 0) {
          tellOfLeft(spool.status());
        }
        return exitStatus(done);
      }
    }

    private static int exitStatus(DrainSummary done) {
      if (done.quarantined() + done.damaged() > 0) {
        return ErrorCode.INVALID_DATA.exitStatus();
      }
      return done.left() > 0 ? ErrorCode.TEMPORARY.exitStatus() : 0;
    }

    private void tellOfLeft(SpoolStatus status) {
      Console console = parent.cortex.console();
      status
          .incomplete()
          .forEach(
              (file, until) ->
                  console.remark(
                      "left, since its last line has no end yet: %s; drained all the same from %s on, if nobody writes to it"
                          .formatted(Inert.line(file.toString()), until)));
      if (status.incomplete().isEmpty()) {
        console.remark("left, since another process drains: " + status.directory());
      }
    }
  }
}
