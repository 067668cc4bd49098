package dev.cortex.events.cli;

import dev.cortex.events.operate.Operations;
import dev.cortex.events.operate.TypeMove;
import java.sql.SQLException;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.Callable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "pause",
    description =
        "Hold back the deliveries of a handler or of an event type; what runs is finished.")
final class PauseCommand implements Callable<Integer> {
  @ParentCommand private Cortex cortex;

  @Parameters(paramLabel = "HANDLER", arity = "0..1", description = "Its name; or --type.")
  private Optional<String> handler;

  @Option(names = "--type", paramLabel = "T", description = "An event type, for all its handlers.")
  private Optional<String> type;

  @Mixin private Reason reason;

  @Option(names = "--json", description = "As a JSON object.")
  private boolean json;

  @Override
  public Integer call() throws SQLException {
    if (handler.isPresent() == type.isPresent()) {
      throw cortex.wrong("either HANDLER or --type must be given");
    }
    try (Installation installation = cortex.open()) {
      pause(installation.operations(Role.OPERATOR));
    }
    return 0;
  }

  private void pause(Operations operations) {
    if (handler.isPresent()) {
      operations.pauseHandler(handler.get(), reason.text());
      cortex.console().print(json ? Report.json(Map.of("paused", handler.get())) : "paused");
    } else {
      TypeMove move = operations.pauseType(type.orElseThrow(), reason.text());
      cortex.console().print(json ? json(type.get(), move) : text(move));
    }
  }

  private static String text(TypeMove move) {
    String rest = move.settled() ? "" : "; the workers move the rest";
    return "paused, deliveries moved: " + move.moved() + rest;
  }

  private static String json(String type, TypeMove move) {
    Map<String, Object> members = new LinkedHashMap<>();
    members.put("paused", type);
    members.put("moved", move.moved());
    members.put("settled", move.settled());
    return Report.json(members);
  }
}
