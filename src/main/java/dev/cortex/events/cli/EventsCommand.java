package dev.cortex.events.cli;

import dev.cortex.events.operate.EventFilter;
import dev.cortex.events.operate.LoggedEvent;
import dev.cortex.events.operate.OperationFailedException;
import dev.cortex.events.operate.Operations;
import java.sql.SQLException;
import java.time.Duration;
import java.util.Optional;
import java.util.concurrent.Callable;
import java.util.function.Predicate;
import javax.sql.DataSource;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "events",
    description = {
      "Print the log as JSON, one event to a line.",
      "What `tail -f events.jsonl` was: `cortex events --follow | jq .`"
    })
final class EventsCommand implements Callable<Integer> {
  private static final Duration LOOK = Duration.ofMillis(250);

  /** Lines between two looks at whether anybody still reads. */
  private static final int FLUSH = 200;

  @ParentCommand private Cortex cortex;

  @Option(
      names = "--type",
      paramLabel = "PATTERN",
      description = "Only this type, or a family such as security.*")
  private Optional<String> type;

  @Option(names = "--source", paramLabel = "SOURCE", description = "Only from this source.")
  private Optional<String> source;

  @Option(
      names = {"--correlation", "--correlation-id"},
      paramLabel = "ID",
      description = "Only of this correlation.")
  private Optional<String> correlation;

  @Option(
      names = "--priority",
      paramLabel = "P",
      description = "Only of this priority: critical, high, medium or low.")
  private Optional<String> priority;

  @Option(
      names = "--since",
      paramLabel = "T",
      description = "Only received then or later: 2025-12-01T22:54:20Z, or 15m, 2h, 7d ago.")
  private Optional<String> since;

  @Option(
      names = "--limit",
      paramLabel = "N",
      description = "The newest N, in order; with --since or --follow, the first N from there on.")
  private Optional<Long> limit;

  @Option(
      names = {"-f", "--follow"},
      description = "Go on with what is committed from now on (or since T), until interrupted.")
  private boolean follow;

  private long printed;

  /** As with every question, although every line is JSON in any case. */
  @Option(names = "--json", hidden = true)
  void takeJson(boolean json) {}

  @Override
  public Integer call() throws SQLException {
    cortex.requireWithin("--limit", limit.orElse(1L), 1, Long.MAX_VALUE);
    try (Installation installation = cortex.open()) {
      DataSource source = installation.connection(Role.AUDITOR);
      EventFilter filter = filter(source);
      Operations operations = Operations.on(source);
      Predicate<LoggedEvent> printer = event -> print(event.line());
      if (follow) {
        operations.follow(filter, LOOK, printer, this::tellAbsence);
      } else if (limit.isPresent() && since.isEmpty()) {
        operations.newestEvents(filter, limit.get(), printer);
      } else {
        operations.events(filter, printer);
      }
    }
    return 0;
  }

  private EventFilter filter(DataSource database) throws SQLException {
    EventFilter filter = EventFilter.all();
    filter = type.isPresent() ? filter.withType(type.get()) : filter;
    filter = source.isPresent() ? filter.withSource(source.get()) : filter;
    filter = correlation.isPresent() ? filter.withCorrelationId(correlation.get()) : filter;
    filter = priority.isPresent() ? filter.withPriority(cortex.priority(priority.get())) : filter;
    return since.isPresent()
        ? filter.withSince(cortex.moment("--since", since.get(), Installation.now(database)))
        : filter;
  }

  private void tellAbsence(OperationFailedException absence) {
    cortex.console().remark("waiting for the database: " + ErrorReport.message(absence));
  }

  /** False when enough is printed, or when nobody reads any more. */
  private boolean print(String line) {
    Console console = cortex.console();
    console.print(console.isTerminal() ? Inert.json(line) : line);
    printed++;
    if (limit.isPresent() && printed >= limit.get()) {
      return false;
    }
    boolean look = follow || printed % FLUSH == 0;
    return !look || !console.out().checkError();
  }
}
