package dev.cortex.events.cli;

import dev.cortex.events.operate.BlockedKey;
import dev.cortex.events.operate.Operations;
import java.sql.SQLException;
import java.util.List;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "blocked",
    description = {
      "List the keys of ordered handlers that wait, and the events that they wait for.",
      "Retry, redrive or cancel the event, or release the key."
    })
final class BlockedCommand implements Callable<Integer> {
  private static final Report<BlockedKey> REPORT =
      Report.<BlockedKey>of("handler", BlockedKey::handler)
          .with("key", BlockedKey::key)
          .with("waiting", BlockedKey::waiting)
          .with("event_id", BlockedKey::eventId)
          .with("type", BlockedKey::type)
          .with("state", blocked -> blocked.state().label())
          .with("attempts", BlockedKey::attempts)
          .with("until", BlockedKey::until)
          .with("reason", BlockedKey::reason)
          .with("error", BlockedKey::error);

  @ParentCommand private Cortex cortex;

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
      List<BlockedKey> blocked = installation.operations(Role.AUDITOR).blockedKeys(limit);
      if (blocked.isEmpty() && !json) {
        cortex.console().print("no key is blocked");
      } else {
        cortex.answer(REPORT, blocked, json);
      }
    }
    return 0;
  }
}
