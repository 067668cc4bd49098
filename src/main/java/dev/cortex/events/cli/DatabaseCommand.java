package dev.cortex.events.cli;

import dev.cortex.events.database.DatabaseAddress;
import dev.cortex.events.database.EmbeddedPostgres;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.channels.FileLock;
import java.nio.file.StandardOpenOption;
import java.sql.SQLException;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "database",
    description = {
      "Print the database's URL and what to export so that psql joins it:",
      "  eval \"$$(./cortex database)\"; psql",
      "The embedded server runs while somebody uses it. On a terminal this command holds it until Ctrl-C;"
          + " elsewhere it leaves a process behind (--until-idle) that holds it until no session has been"
          + " open for ten minutes, or until SIGTERM."
    })
final class DatabaseCommand implements Callable<Integer> {
  @ParentCommand private Cortex cortex;

  @Option(
      names = "--hold",
      negatable = true,
      paramLabel = "",
      description =
          "Hold the embedded server in the foreground until told to stop; --no-hold: not at all.")
  private Optional<Boolean> hold;

  @Option(names = "--json", description = "As a JSON object.")
  private boolean json;

  @Option(
      names = "--until-idle",
      hidden = true,
      description = "Minutes; for the process left behind.")
  private Optional<Integer> untilIdle;

  @Override
  public Integer call() throws SQLException, IOException, InterruptedException {
    try (Installation installation = cortex.reach()) {
      if (installation.server().isPresent()) {
        installation.ready();
        try (StopSignals stop = StopSignals.listen()) {
          show(installation.address(), installation.server().get());
          hold(installation, stop);
        }
      } else {
        show(installation.address(), Map.of());
      }
    }
    return 0;
  }

  private void hold(Installation installation, StopSignals stop)
      throws IOException, InterruptedException {
    EmbeddedPostgres server = installation.server().orElseThrow();
    if (untilIdle.isPresent()) {
      holdUntilIdle(installation, server, Duration.ofMinutes(untilIdle.get()), stop);
    } else if (hold.orElse(cortex.console().isTerminal())) {
      cortex.console().remark("the server runs until this command is stopped (Ctrl-C)");
      stop.awaitAsked();
    } else if (hold.isEmpty()) {
      Holder.leaveBehind(server.directory());
    }
  }

  /** One holder is enough: whoever finds another one has nothing to do. */
  private static void holdUntilIdle(
      Installation installation, EmbeddedPostgres server, Duration idle, StopSignals stop)
      throws IOException, InterruptedException {
    try (FileChannel file =
            FileChannel.open(
                server.directory().resolve("holder.lock"),
                StandardOpenOption.CREATE,
                StandardOpenOption.WRITE);
        FileLock only = file.tryLock()) {
      if (only != null) {
        new IdleWatch(installation.address(), idle).await(stop);
      }
    }
  }

  private void show(DatabaseAddress address, EmbeddedPostgres server) {
    show(address, Map.of(DatabaseChoice.DIRECTORY_VARIABLE, server.directory().toString()));
  }

  private void show(DatabaseAddress address, Map<String, String> more) {
    Map<String, String> variables = new LinkedHashMap<>(address.psqlVariables());
    variables.putAll(more);
    Console console = cortex.console();
    if (json) {
      Map<String, Object> members = new LinkedHashMap<>();
      members.put("url", address.toString());
      members.put("embedded", !more.isEmpty());
      members.put("variables", variables);
      console.print(Report.json(members));
    } else {
      console.print("# " + Inert.line(address.toString()));
      if (variables.containsKey("PGPASSFILE")) {
        console.print(
            "# without its password, which psql takes from the file that PGPASSFILE names");
      }
      variables.forEach(
          (name, value) -> console.print("export " + name + "=" + Shell.quoted(value)));
    }
    console.out().flush();
  }
}
