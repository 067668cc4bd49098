package dev.cortex.events.cli;

import dev.cortex.events.operate.Operations;
import dev.cortex.events.operate.ReplayRequest;
import dev.cortex.events.operate.ReplayedEvent;
import java.nio.file.Path;
import java.sql.SQLException;
import java.time.DateTimeException;
import java.time.Duration;
import java.time.LocalDate;
import java.util.List;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;

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
  @ParentCommand private Cortex cortex;

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

  @Option(names = "--handler", paramLabel = "HANDLER", description = "Only to this handler.")
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
      description = "Why; recorded with your login. Needed but for --dry-run.")
  private Optional<String> reason;

  @Option(names = "--json", description = "The summary as a JSON object.")
  private boolean json;

  @Override
  public Integer call() throws SQLException, InterruptedException {
    ReplayRequest request = request();
    if (reason.isEmpty() && !dryRun) {
      throw cortex.wrong("--reason must be given");
    }
    if (wait < 1) {
      throw cortex.wrong("--wait must be at least 1, was " + wait);
    }
    try (Installation installation = cortex.open()) {
      Operations operations = installation.operations(Role.OPERATOR);
      List<ReplayedEvent> events =
          dryRun
              ? operations.previewReplay(request)
              : operations.replay(request, reason.orElseThrow());
      ReplaySummary summary = ReplaySummary.of(events);
      if (!dryRun && !queue) {
        ReplayRun run = new ReplayRun(cortex.console(), installation, operations, commands);
        summary = run.follow(events, Duration.ofSeconds(wait));
      }
      print(summary);
      return summary.exitStatus();
    }
  }

  private void print(ReplaySummary summary) {
    Console console = cortex.console();
    if (verbose) {
      summary.lines().forEach(console::print);
    }
    if (json) {
      console.print(Report.json(summary.members(dryRun)));
    } else {
      console.print((dryRun ? "dry run, nothing was replayed\n" : "") + summary.text());
    }
  }

  private ReplayRequest request() {
    if (eventId.isPresent() == date.isPresent()) {
      throw cortex.wrong("either --event-id or --date must be given");
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
