package dev.cortex.events.cli;

import dev.cortex.events.database.EmbeddedPostgres;
import dev.cortex.events.demo.Demo;
import dev.cortex.events.demo.DemoResult;
import java.io.IOException;
import java.nio.file.Path;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import javax.sql.DataSource;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "demo",
    description = {
      "Show the main job on a PostgreSQL of its own, with nothing else installed.",
      "Imports a sample archive, starts two worker processes, simulates a fleet, kills a worker with -9 on"
          + " the way, and asks the views whether anything was lost or doubled. Its data are kept apart from"
          + " yours (--data-dir chooses where), and it can be run again."
    })
final class DemoCommand implements Callable<Integer> {
  private static final int NOT_AS_PROMISED = 1;

  @ParentCommand private Cortex cortex;

  @Option(
      names = "--seconds",
      paramLabel = "N",
      defaultValue = "12",
      description = "How long the fleet is simulated, 6 to 600; ${DEFAULT-VALUE} unless given.")
  private int seconds;

  @Override
  public Integer call() throws SQLException, IOException, InterruptedException {
    if (seconds < 6 || seconds > 600) {
      throw cortex.wrong("--seconds must be 6 to 600, was " + seconds);
    }
    Path directory = directory();
    DemoScreen screen = new DemoScreen(cortex.console());
    screen.step("PostgreSQL and its data are in " + directory);
    DatabaseChoice own = new DatabaseChoice.Embedded(Optional.of(directory));
    try (Installation installation = Installation.reach(own, cortex.roles(), cortex.console())) {
      claim(installation.address().dataSource());
      installation.migrated();
      screen.step("the schemas are up to date");
      DemoResult result =
          Demo.run(
              new Demo.Plan(
                  installation.address().dataSource(),
                  worker(directory),
                  directory.resolve("demo"),
                  Duration.ofSeconds(seconds)),
              screen);
      screen.end(result, directory);
      return result.isAsPromised() ? 0 : NOT_AS_PROMISED;
    }
  }

  private Path directory() {
    if (cortex.databaseUrl().isPresent()) {
      throw cortex.wrong("the demo runs on a database of its own: --database-url may not be given");
    }
    Path real = EmbeddedPostgres.defaultDirectory(cortex.console().environment());
    Path chosen = cortex.dataDirectory().orElse(real.resolveSibling("demo-" + real.getFileName()));
    if (chosen.toAbsolutePath().normalize().equals(real.toAbsolutePath().normalize())) {
      throw cortex.wrong("the demo must not mix with real data: choose another --data-dir");
    }
    return chosen;
  }

  /** Before anything in the database is changed. */
  private void claim(DataSource database) throws SQLException {
    Optional<String> foreign = Demo.claim(database);
    if (foreign.isPresent()) {
      throw cortex.wrong(
          "the demo must not mix with real data, and this database has some ("
              + foreign.get()
              + "): choose another --data-dir");
    }
  }

  private static List<String> worker(Path directory) {
    return JavaProgram.command(
        List.of(),
        "--data-dir",
        directory.toString(),
        "worker",
        "--demo-handlers",
        "--until-input-ends",
        "--slots",
        "2",
        "--grace",
        "10");
  }
}
