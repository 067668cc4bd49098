package dev.cortex.events.cli;

import dev.cortex.events.CortexEvents;
import dev.cortex.events.archive.Archive;
import dev.cortex.events.command.CommandDirectory;
import dev.cortex.events.demo.DemoHandlers;
import dev.cortex.events.fleet.FleetHandlers;
import dev.cortex.events.fleet.Scripts;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.operate.OperationFailedException;
import dev.cortex.events.operate.Operations;
import dev.cortex.events.spool.Spool;
import dev.cortex.events.telemetry.Telemetry;
import dev.cortex.events.worker.Worker;
import dev.cortex.events.worker.WorkerOptions;
import java.nio.file.Path;
import java.sql.SQLException;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.TimeUnit;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "worker",
    description = {
      "Run Cortex's handlers and schedules until told to stop.",
      "Any number may run, here and elsewhere. SIGTERM or Ctrl-C: finish what runs, or give it back after"
          + " the grace time, and exit with 0; a second one gives it back at once. Waits for a database that"
          + " is away, for as long as it takes."
    })
final class WorkerCommand implements Callable<Integer> {
  private static final int MAX_GRACE_SECONDS = 86_400;
  private static final Duration LOOK = Duration.ofMillis(100);

  @ParentCommand private Cortex cortex;

  @Option(
      names = "--slots",
      paramLabel = "N",
      description = "How many batches it runs at once, each on a connection; 4 unless given.")
  private Optional<Integer> slots;

  @Option(names = "--drain", description = "End when nothing is due any more.")
  private boolean drain;

  @Option(
      names = "--name",
      paramLabel = "NAME",
      description = "What it is called in the views; host and process unless given.")
  private Optional<String> name;

  @Option(
      names = "--grace",
      paramLabel = "S",
      description = "Seconds to finish in when told to stop; 30 unless given.")
  private Optional<Integer> grace;

  @Option(
      names = "--until-input-ends",
      hidden = true,
      description = "The end of standard input asks it to stop, as SIGTERM does.")
  private boolean untilInputEnds;

  @Option(
      names = "--leases",
      paramLabel = "N",
      description = "How many leased events and programs it runs at once; 8 unless given.")
  private Optional<Integer> leases;

  @Option(
      names = "--commands",
      paramLabel = "DIR",
      description = {
        "Run the programs of this directory too, each for the events that NAME.properties beside it"
            + " is on (docs/handlers.md); those of handlers that are Java code too only where `cortex"
            + " implement` chooses them.",
        "Directory and files must be writable by their owner only."
      })
  private Optional<Path> commands;

  @Option(
      names = "--drain-spool",
      description =
          "Deliver what waits in the spool of this user on this host, as `cortex spool drain` does;"
              + " also with --commands, since what programs emit may be spooled.")
  private boolean drainSpool;

  @Mixin private SpoolChoice spool;

  @Option(names = "--demo-handlers", hidden = true, description = "What `cortex demo` adds.")
  private boolean demoHandlers;

  @Override
  public Integer call() throws SQLException, InterruptedException {
    if (System.getProperty("cortex.log") == null) {
      System.setProperty("cortex.log", "INFO"); // its life, on standard error
    }
    WorkerOptions options = options();
    List<HandlerDefinition> programs =
        commands
            .map(
                directory ->
                    CommandDirectory.read(directory, spool().directory(), this::tellPassedOver))
            .orElse(List.of());
    // Until an embedded server is there a signal ends the process, as there is nothing to give
    // back.
    try (Installation installation = cortex.reach().migrated();
        CortexEvents events = installation.as(Role.WORKER).withTelemetry(Telemetry.toLog());
        StopSignals stop = StopSignals.listen()) {
      Implementations handlers =
          handlers(
              Archive.on(installation.connection(Role.OWNER)),
              commands.isPresent()
                  ? Scripts.inTurn(programs, installation.connection(Role.WORKER))
                  : programs);
      tellProgramsToChoose(handlers);
      if (untilInputEnds) {
        stop.listenForEndOf(cortex.console().in());
      }
      Optional<Operations> operations =
          handlers.hasChoice()
              ? Optional.of(installation.operations(Role.WORKER))
              : Optional.empty();
      Set<String> byPrograms = Set.of();
      do {
        byPrograms = byPrograms(operations, handlers, byPrograms);
        Optional<Worker> started =
            start(
                events,
                handlers.chosen(byPrograms),
                options.withJavaCode(handlers.javaCode()),
                stop);
        if (started.isPresent()) {
          try (Worker worker = started.get()) {
            stop.onSecond(worker::giveBack);
            await(worker, operations, handlers, byPrograms, stop);
          }
        }
      } while (!stop.isAsked() && !drain);
    }
    return 0;
  }

  private void tellPassedOver(Path file) {
    cortex.console().remark("passed over, being no program: " + file);
  }

  private void tellProgramsToChoose(Implementations handlers) {
    if (!handlers.programsToChoose().isEmpty()) {
      cortex
          .console()
          .remark(
              "there is Java code too for "
                  + String.join(", ", handlers.programsToChoose())
                  + ": a program of these runs where `cortex implement HANDLER program` chooses it");
    }
  }

  /** Which programs are chosen; what was known, while the database is away. */
  private static Set<String> byPrograms(
      Optional<Operations> operations, Implementations handlers, Set<String> known) {
    try {
      return operations.map(Operations::handlersOfPrograms).map(handlers::relevant).orElse(known);
    } catch (OperationFailedException e) {
      return known;
    }
  }

  private Spool spool() {
    return spool.spool(cortex.console().environment());
  }

  private WorkerOptions options() {
    cortex.requireWithin("--grace", grace.orElse(0), 0, MAX_GRACE_SECONDS);
    try {
      WorkerOptions options = WorkerOptions.defaults();
      options = slots.isPresent() ? options.withSlots(slots.get()) : options;
      options = leases.isPresent() ? options.withLeases(leases.get()) : options;
      options = name.isPresent() ? options.withName(name.get()) : options;
      options = drainSpool || commands.isPresent() ? options.withSpool(spool()) : options;
      return grace.isPresent() ? options.withGracePeriod(Duration.ofSeconds(grace.get())) : options;
    } catch (IllegalArgumentException e) {
      throw cortex.wrong(e.getMessage());
    }
  }

  /** Empty when told to stop before the database was there. */
  private static Optional<Worker> start(
      CortexEvents events,
      List<HandlerDefinition> handlers,
      WorkerOptions options,
      StopSignals stop)
      throws SQLException, InterruptedException {
    stop.onFirst(Thread.currentThread()::interrupt);
    try {
      return Optional.of(events.work(handlers, options));
    } catch (InterruptedException e) {
      if (stop.isAsked()) {
        return Optional.empty();
      }
      throw e;
    } finally {
      stop.onFirst(() -> {});
      if (stop.isAsked()) {
        boolean unused = Thread.interrupted(); // from here on, who waits looks for the request
      }
    }
  }

  private Implementations handlers(Archive archive, List<HandlerDefinition> programs) {
    List<HandlerDefinition> handlers = new ArrayList<>(FleetHandlers.all());
    handlers.add(FleetHandlers.archive(archive));
    if (demoHandlers) {
      handlers.addAll(DemoHandlers.all());
    }
    try {
      return new Implementations(handlers, programs);
    } catch (IllegalArgumentException e) {
      throw cortex.wrong(e.getMessage());
    }
  }

  /** Until told to stop, drained, or another implementation is chosen. */
  private void await(
      Worker worker,
      Optional<Operations> operations,
      Implementations handlers,
      Set<String> byPrograms,
      StopSignals stop)
      throws InterruptedException {
    if (!drain) {
      while (!stop.awaitAsked(1, TimeUnit.SECONDS)
          && byPrograms(operations, handlers, byPrograms).equals(byPrograms)) {
        // looks at both in turn
      }
      return;
    }
    while (!stop.isAsked() && !worker.awaitDrained(LOOK)) {
      // looks at both in turn
    }
    while (!stop.isAsked() && !worker.drain(LOOK)) {
      // once more, for what its schedules have emitted in between
    }
  }
}
