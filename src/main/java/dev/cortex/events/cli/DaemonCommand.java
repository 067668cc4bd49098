package dev.cortex.events.cli;

import dev.cortex.events.daemon.DaemonDirectory;
import dev.cortex.events.daemon.EventDaemons;
import dev.cortex.events.daemon.LocalDaemons;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.NearestWord;
import dev.cortex.events.outbox.Outbox;
import java.net.InetAddress;
import java.net.UnknownHostException;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;
import java.util.Optional;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParentCommand;
import picocli.CommandLine.ScopeType;
import picocli.CommandLine.Spec;

@Command(
    name = "daemon",
    description = {
      "Start, stop and see daemons (docs/daemons.md).",
      "heartbeat-monitor, failure-pattern, auto-fix and worker-restart are handlers, which workers run;"
          + " starting one asks for it by an event. Any other is a program that NAME.properties in the"
          + " directory of daemons names: it is started on this host and kept running."
    },
    synopsisSubcommandLabel = "COMMAND",
    subcommands = {
      DaemonStartCommand.class,
      DaemonStopCommand.class,
      DaemonStatusCommand.class,
      DaemonRunCommand.class
    })
final class DaemonCommand implements Runnable {
  static final String SOURCE = "daemon-control";

  @ParentCommand private Cortex cortex;

  @Spec private CommandSpec spec;

  @Option(
      names = "--daemons",
      paramLabel = "DIR",
      scope = ScopeType.INHERIT,
      description =
          "Where the daemons' files are; else $CORTEX_DAEMONS, else cortex-events/daemons in"
              + " ~/.config.")
  private Optional<Path> daemons;

  @Override
  public void run() {
    throw new ParameterException(spec.commandLine(), "start, stop, status or run is needed");
  }

  Cortex cortex() {
    return cortex;
  }

  /** What the operator of this host has laid out. */
  DaemonDirectory directory() {
    return DaemonDirectory.at(
        daemons.orElseGet(() -> directory("CORTEX_DAEMONS", "XDG_CONFIG_HOME", ".config")));
  }

  LocalDaemons local() {
    return new LocalDaemons(
        directory(), directory("CORTEX_DAEMON_STATE", "XDG_STATE_HOME", ".local/state"));
  }

  private Path directory(String variable, String base, String belowHome) {
    var environment = cortex.console().environment();
    @Nullable String given = environment.get(variable);
    if (given != null && !given.isEmpty()) {
      return Path.of(given);
    }
    @Nullable String root = environment.get(base);
    Path above =
        root != null && root.startsWith("/")
            ? Path.of(root)
            : Path.of(environment.getOrDefault("HOME", System.getProperty("user.home")))
                .resolve(belowHome);
    return above.resolve("cortex-events").resolve("daemons");
  }

  /** Emits one event on the database of this call. */
  String emit(EventDraft draft) throws SQLException {
    try (Installation installation = cortex.open();
        Connection connection = installation.connection(Role.EMITTER).getConnection()) {
      return new Outbox().emit(connection, draft);
    }
  }

  /** What is done on a database that may be away. */
  interface Question<T> {
    T ask(EventDaemons daemons, Connection connection) throws SQLException, InterruptedException;
  }

  /** On the daemons that are handlers, as this role. */
  <T> T ask(Role role, Question<T> question) throws SQLException, InterruptedException {
    try (Installation installation = cortex.open();
        Connection connection = installation.connection(role).getConnection()) {
      return question.ask(new EventDaemons(connection, SOURCE), connection);
    }
  }

  /** One of them; empty when it is none. */
  Optional<EventDaemons.Status> handlersOf(String name) throws SQLException, InterruptedException {
    return ask(Role.AUDITOR, (daemons, connection) -> daemons.all()).stream()
        .filter(daemon -> daemon.daemon().equals(name))
        .findFirst();
  }

  /** A name that no daemon can have would lead to another directory. */
  void requireName(String name) {
    if (!DaemonDirectory.isName(name)) {
      throw cortex.wrong(
          "NAME must be 1 to 64 lower-case letters, digits and hyphens, the first no hyphen, was "
              + name);
    }
  }

  /** The error for a name that is neither. */
  NothingFoundException unknown(String name, List<String> handlers) {
    TreeSet<String> known = new TreeSet<>(handlers);
    known.addAll(directory().names());
    String nearest =
        NearestWord.to(name, known).map(word -> ", did you mean " + word + "?").orElse("");
    return new NothingFoundException(
        "no such daemon, and no "
            + directory().path().resolve(name + ".properties")
            + " ("
            + String.join(", ", known)
            + " are known"
            + nearest
            + ")",
        name);
  }

  /** Where this is, in events and views. */
  static String host() {
    try {
      return InetAddress.getLocalHost().getHostName();
    } catch (UnknownHostException e) {
      return "unknown-host";
    }
  }
}
