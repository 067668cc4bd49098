package dev.cortex.events.cli;

import dev.cortex.events.operate.Backfill;
import dev.cortex.events.operate.Operations;
import java.sql.SQLException;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;

@Command(name = "backfills", description = "List the back-fills, the newest first.")
final class BackfillsCommand implements Callable<Integer> {
  private static final Report<Backfill> REPORT =
      Report.<Backfill>of("id", Backfill::id)
          .with("handler", Backfill::handler)
          .with("state", Backfill::state)
          .with("since", Backfill::since)
          .with("until", Backfill::until)
          .with("reached_at", Backfill::reachedAt)
          .with("rate", Backfill::rate)
          .with("made", Backfill::made)
          .with("requested_at", Backfill::requestedAt)
          .with("requested_by", Backfill::requestedBy)
          .with("ended_at", Backfill::endedAt);

  @ParentCommand private Cortex cortex;

  @Option(
      names = "--limit",
      paramLabel = "N",
      defaultValue = "20",
      description = "How many at most; ${DEFAULT-VALUE} unless given.")
  private int limit;

  @Option(names = "--json", description = "As a JSON array.")
  private boolean json;

  @Override
  public Integer call() throws SQLException {
    cortex.requireWithin("--limit", limit, 1, Operations.MAX_ROWS);
    try (Installation installation = cortex.open()) {
      List<Backfill> backfills = installation.operations(Role.AUDITOR).backfills(limit);
      if (backfills.isEmpty() && !json) {
        cortex.console().print("no back-fill yet");
      } else {
        cortex.answer(REPORT, backfills, json);
      }
    }
    return 0;
  }
}
