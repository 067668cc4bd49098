package dev.cortex.events.cli;

import dev.cortex.events.database.RoleNames;
import dev.cortex.events.event.InvalidEventException;
import dev.cortex.events.event.Priority;
import java.nio.file.Path;
import java.sql.SQLException;
import java.time.Instant;
import java.util.List;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help.Ansi;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.Spec;

/** The command line as a whole: the verbs, and the options that all of them have. */
@Command(
    name = "cortex",
    description = "Cortex Events: a transactional event outbox and job queue on PostgreSQL.",
    versionProvider = ProgramVersion.class,
    mixinStandardHelpOptions = true,
    scope = ScopeType.INHERIT,
    usageHelpAutoWidth = true,
    sortOptions = false,
    synopsisSubcommandLabel = "COMMAND",
    footer = {
      "",
      "Which database: the first of --database-url, --data-dir, DATABASE_URL, CORTEX_DATA_DIR and the"
          + " PG* variables that is there; else a PostgreSQL of its own, started or joined by the command,"
          + " whose data are kept (`cortex database` says where).",
      "",
      "Exit status: 0 done; 1 a replayed event failed; 64 called wrongly, or with a wrong value of an option;"
          + " 65 invalid data; 66 not found, or an input that cannot be read; 69 the database is away; 70 a"
          + " fault of this program; 75 try again; 77 not permitted, to the role or to the user who opens a"
          + " file; 78 wrong schema or configuration.",
      "",
      "Guides: README.md to begin with; docs/handlers.md, docs/entrances.md, docs/daemons.md; ops/README.md"
          + " when something is wrong."
    },
    subcommands = {
      DemoCommand.class,
      BenchCommand.class,
      LoadTestCommand.class,
      DatabaseCommand.class,
      MigrateCommand.class,
      WorkerCommand.class,
      DaemonCommand.class,
      EmitCommand.class,
      ImportCommand.class,
      MigrateFromCommand.class,
      ArchiveCommand.class,
      SpoolCommand.class,
      StatusCommand.class,
      EventsCommand.class,
      TraceCommand.class,
      AuditCommand.class,
      DeadLettersCommand.class,
      HandlersCommand.class,
      SchedulesCommand.class,
      BackfillsCommand.class,
      BackfillCommand.class,
      ReplayCommand.class,
      RetryCommand.class,
      RedriveCommand.class,
      BlockedCommand.class,
      ReleaseCommand.class,
      CancelCommand.class,
      PauseCommand.class,
      ResumeCommand.class,
      LimitCommand.class,
      RenameCommand.class,
      RetireCommand.class,
      ReinstateCommand.class,
      ImplementCommand.class,
    })
final class Cortex implements Runnable {
  private final Console console;

  @Spec private CommandSpec spec;

  @Option(
      names = "--database-url",
      paramLabel = "URL",
      scope = ScopeType.INHERIT,
      description =
          "postgresql://user@host/database; leave the password to PGPASSWORD or ~/.pgpass.")
  private Optional<String> databaseUrl;

  @Option(
      names = "--data-dir",
      paramLabel = "DIR",
      scope = ScopeType.INHERIT,
      description =
          "The directory of the embedded server: not there yet, or empty, or its own from before; and"
              + " yours alone (mode 0700).")
  private Optional<Path> dataDirectory;

  @Option(
      names = "--role-prefix",
      paramLabel = "PREFIX",
      defaultValue = "cortex_",
      scope = ScopeType.INHERIT,
      description = "How the names of the roles begin; ${DEFAULT-VALUE} unless given.")
  private String rolePrefix;

  @Option(
      names = "--debug",
      scope = ScopeType.INHERIT,
      description = "Show where an error came from.")
  private boolean debug;

  private Cortex(Console console) {
    this.console = console;
  }

  /** Runs one command; the exit status is 0 or that of an error's code. */
  static int run(Console console, String... args) {
    Cortex cortex = new Cortex(console);
    ErrorReport errors = new ErrorReport(console, () -> cortex.debug);
    CommandLine line =
        new CommandLine(cortex)
            .setExpandAtFiles(false)
            .setOut(console.out())
            .setErr(console.err())
            .setExecutionExceptionHandler(errors)
            .setParameterExceptionHandler(errors)
            .setCaseInsensitiveEnumValuesAllowed(true)
            .setColorScheme(
                CommandLine.Help.defaultColorScheme(console.isTerminal() ? Ansi.AUTO : Ansi.OFF));
    int status = line.execute(args);
    console.out().flush();
    console.err().flush();
    return status;
  }

  @Override
  public void run() {
    throw new ParameterException(
        spec.commandLine(), "a command is needed; `cortex --help` lists them");
  }

  Console console() {
    return console;
  }

  /** The database that this call is about. */
  DatabaseChoice database() {
    if (databaseUrl.isPresent() && dataDirectory.isPresent()) {
      throw wrong("--database-url and --data-dir exclude each other");
    }
    return DatabaseChoice.of(databaseUrl, dataDirectory, console.environment());
  }

  Optional<String> databaseUrl() {
    return databaseUrl;
  }

  Optional<Path> dataDirectory() {
    return dataDirectory;
  }

  String rolePrefix() {
    return rolePrefix;
  }

  RoleNames roles() {
    try {
      return RoleNames.withPrefix(rolePrefix);
    } catch (IllegalArgumentException e) {
      throw wrong(e.getMessage());
    }
  }

  /** The database, not yet looked at. */
  Installation reach() {
    return Installation.reach(database(), roles(), console);
  }

  /** The database, with a schema that fits. */
  Installation open() throws SQLException {
    Installation installation = reach();
    try {
      return installation.ready();
    } catch (SQLException | RuntimeException e) {
      installation.close();
      throw e;
    }
  }

  /** Answers a question with rows. */
  <T> void answer(Report<T> report, List<T> rows, boolean json) {
    console.print(json ? report.json(rows) : report.table(rows));
  }

  /** The command that was called, whose help is the one to read. */
  private CommandLine called() {
    CommandLine.ParseResult parsed = spec.commandLine().getParseResult();
    while (parsed.hasSubcommand()) {
      parsed = parsed.subcommand();
    }
    return parsed.commandSpec().commandLine();
  }

  /** A moment that a person states. */
  Instant moment(String option, String text, Instant now) {
    return Moment.parse(text)
        .orElseThrow(
            () ->
                wrong(
                    option
                        + " must be a time such as 2025-12-01T22:54:20Z, or 15m, 2h or 7d, was "
                        + text))
        .from(now);
  }

  Priority priority(String given) {
    try {
      return Priority.of(given);
    } catch (InvalidEventException e) {
      throw wrong(
          "--priority " + e.rule() + e.value().map(value -> ", was \"" + value + "\"").orElse(""));
    }
  }

  /** A number that a person states has to be within bounds. */
  void requireWithin(String option, long number, long least, long most) {
    if (number < least || number > most) {
      throw wrong(option + " must be " + least + " to " + most + ", was " + number);
    }
  }

  /**
   * A call that cannot be understood, or an option whose value no database would make right: said
   * before one is asked.
   */
  ParameterException wrong(@Nullable String problem) {
    return new ParameterException(called(), String.valueOf(problem));
  }
}
