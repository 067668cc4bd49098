package dev.cortex.events.cli;

import dev.cortex.events.operate.DeadLetter;
import dev.cortex.events.operate.Operations;
import java.sql.SQLException;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "dead-letters",
    description = "List deliveries of a handler that failed for the last time, the oldest first.")
final class DeadLettersCommand implements Callable<Integer> {
  private static final Report<DeadLetter> REPORT =
      Report.<DeadLetter>of("event_id", DeadLetter::eventId)
          .with("type", DeadLetter::type)
          .with("source", DeadLetter::source)
          .with("attempts", DeadLetter::attempts)
          .with("died_at", DeadLetter::diedAt)
          .with("reason", DeadLetter::reason)
          .with("error", DeadLetter::error);

  @ParentCommand private Cortex cortex;

  @Parameters(paramLabel = "HANDLER", description = "Its name.")
  private String handler;

  @Option(
      names = "--limit",
      paramLabel = "N",
      defaultValue = "100",
      description = "How many at most; ${DEFAULT-VALUE} unless given.")
  private int limit;

  @Option(names = "--json", description = "As a JSON array.")
  private boolean json;

  @Override
  public Integer call() throws SQLException {
    cortex.requireWithin("--limit", limit, 1, Operations.MAX_ROWS);
    try (Installation installation = cortex.open()) {
      Operations operations = installation.operations(Role.AUDITOR);
      List<DeadLetter> letters = operations.deadLetters(handler, 0, limit);
      if (letters.isEmpty()) {
        requireHandler(operations);
      }
      if (letters.isEmpty() && !json) {
        cortex.console().print("no dead letters");
      } else {
        cortex.answer(REPORT, letters, json);
      }
    }
    return 0;
  }

  /** A name that was mistyped is no good news. */
  private void requireHandler(Operations operations) {
    if (operations.handlers().stream().noneMatch(known -> known.name().equals(handler))) {
      throw new NothingFoundException("no handler has this name", handler);
    }
  }
}
