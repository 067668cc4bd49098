package dev.cortex.events.cli;

import dev.cortex.events.cli.ReplaySummary.Mode;
import dev.cortex.events.command.CommandDirectory;
import dev.cortex.events.fleet.FleetHandlers;
import dev.cortex.events.fleet.Scripts;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.operate.DeliveryStatus;
import dev.cortex.events.operate.Operations;
import dev.cortex.events.operate.ReplayRequest;
import dev.cortex.events.operate.ReplayedEvent;
import dev.cortex.events.spool.Spool;
import java.nio.file.Path;
import java.sql.SQLException;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.LocalDate;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Model.CommandSpec;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;
import picocli.CommandLine.Spec;

@Command(
    name = "replay",
    description = {
      "Handle recorded events again: one, or those that happened on a day. Each is a new generation of its"
          + " delivery, to every handler that subscribes to it now.",
      "Unless --queue is given, waits until they are handled: by the running workers, and by this command,"
          + " which works for as long as it waits those of the handlers that it has itself (Cortex's own,"
          + " and --commands). Exit status 1 when one failed, 75 when some are not handled yet."
    })
final class ReplayCommand implements Callable<Integer> {
  private static final int MAX_WAIT = 86_400;

  @ParentCommand private Cortex cortex;

  @Spec private CommandSpec spec;

  @Option(names = "--event-id", paramLabel = "ID", description = "The event with this public id.")
  private Optional<String> eventId;

  @Option(
      names = "--date",
      paramLabel = "DAY",
      description = "The events that happened on this day, in UTC: 2025-12-01.")
  private Optional<String> date;

  @Option(
      names = "--type",
      paramLabel = "PATTERN",
      description = "Only this type, or a family such as security.*")
  private Optional<String> type;

  @Option(names = "--source", paramLabel = "SOURCE", description = "Only from this source.")
  private Optional<String> source;

  @Option(
      names = "--priority",
      paramLabel = "P",
      description = "Only of this priority: critical, high, medium or low.")
  private Optional<String> priority;

  @Option(
      names = {"--correlation", "--correlation-id"},
      paramLabel = "ID",
      description = "Only of this correlation.")
  private Optional<String> correlation;

  @Option(
      names = "--handler",
      paramLabel = "HANDLER",
      description = "Only to this handler; of a day, only what it gets.")
  private Optional<String> handler;

  @Option(names = "--dry-run", description = "Say what would be replayed, and change nothing.")
  private boolean dryRun;

  @Option(names = "--verbose", description = "One line per delivery, or event without one.")
  private boolean verbose;

  @Option(names = "--queue", description = "Do not wait until they are handled.")
  private boolean queue;

  @Option(
      names = "--wait",
      paramLabel = "S",
      defaultValue = "60",
      description =
          "Seconds after which to give up waiting when nothing is handled; ${DEFAULT-VALUE} unless"
              + " given.")
  private int wait;

  @Option(
      names = "--commands",
      paramLabel = "DIR",
      description = "Programs to run as handlers while waiting, as `cortex worker` has them.")
  private Optional<Path> commands;

  @Option(
      names = "--reason",
      paramLabel = "TEXT",
      defaultValue = "cortex replay, no reason given",
      description = "Why; recorded with your login. \"${DEFAULT-VALUE}\" unless given.")
  void giveReason(String text) {
    reason = Reason.checked(spec, text);
  }

  private String reason = "";

  @Option(names = "--json", description = "The summary as a JSON object.")
  private boolean json;

  @Override
  public Integer call() throws SQLException, InterruptedException {
    ReplayRequest request = request();
    cortex.requireWithin("--wait", wait, 1, MAX_WAIT);
    Mode mode = dryRun ? Mode.DRY_RUN : queue ? Mode.QUEUED : Mode.FOLLOWED;
    ReplaySummary summary = new ReplaySummary(mode);
    List<HandlerDefinition> programs = programs();
    try (Installation installation = cortex.open()) {
      Operations operations = installation.operations(Role.OPERATOR);
      List<HandlerDefinition> handlers =
          handlers(
              operations,
              commands.isPresent()
                  ? Scripts.inTurn(programs, installation.connection(Role.WORKER))
                  : programs);
      if (mode == Mode.DRY_RUN) {
        operations.previewReplay(request, event -> tell(event, List.of(), summary));
      } else if (mode == Mode.QUEUED) {
        operations.replay(request, reason, event -> tell(event, List.of(), summary));
      } else {
        follow(installation, operations, handlers, request, summary);
      }
    }
    cortex.console().print(json ? Report.json(summary.members()) : summary.text());
    return summary.exitStatus();
  }

  private void follow(
      Installation installation,
      Operations operations,
      List<HandlerDefinition> handlers,
      ReplayRequest request,
      ReplaySummary summary)
      throws SQLException, InterruptedException {
    try (ReplayRun run =
        new ReplayRun(
            cortex.console(),
            installation,
            handlers,
            Duration.ofSeconds(wait),
            (event, known) -> tell(event, known, summary))) {
      operations.replay(
          request,
          reason,
          event -> {
            if (event.deliveries().isEmpty()) {
              tell(event, List.of(), summary);
            } else {
              run.follow(event);
            }
          });
      run.finish();
    }
  }

  private List<HandlerDefinition> programs() {
    return commands
        .map(
            directory ->
                CommandDirectory.read(
                    directory,
                    Spool.usual(cortex.console().environment()).directory(),
                    passedOver -> {}))
        .orElse(List.of());
  }

  private void tell(ReplayedEvent event, List<DeliveryStatus> known, ReplaySummary summary) {
    summary.count(event, known);
    if (verbose) {
      ReplaySummary.lines(event, known).forEach(cortex.console()::print);
    }
  }

  /**
   * What this command can run, as it is chosen now. The archive's is left to the workers, since it
   * needs the owner's rights.
   */
  private List<HandlerDefinition> handlers(
      Operations operations, List<HandlerDefinition> programs) {
    Implementations both;
    try {
      both = new Implementations(FleetHandlers.all(), programs);
    } catch (IllegalArgumentException e) {
      throw cortex.wrong(e.getMessage());
    }
    return both.onlyChosen(operations.handlersOfPrograms()).stream()
        .filter(handler -> !handler.name().equals(FleetHandlers.ARCHIVE))
        .toList();
  }

  private ReplayRequest request() {
    if (eventId.isPresent() == date.isPresent()) {
      throw cortex.wrong("either --event-id or --date must be given, and not both");
    }
    ReplayRequest request =
        eventId.isPresent()
            ? ReplayRequest.ofEvent(eventId.get())
            : ReplayRequest.ofDay(day(date.orElseThrow()));
    request = type.isPresent() ? request.withType(type.get()) : request;
    request = source.isPresent() ? request.withSource(source.get()) : request;
    request =
        priority.isPresent() ? request.withPriority(cortex.priority(priority.get())) : request;
    request = correlation.isPresent() ? request.withCorrelationId(correlation.get()) : request;
    return handler.isPresent() ? request.withHandler(handler.get()) : request;
  }

  private LocalDate day(String text) {
    try {
      return LocalDate.parse(text);
    } catch (DateTimeException e) {
      throw cortex.wrong("--date must be a day such as 2025-12-01, was " + text);
    }
  }
}
