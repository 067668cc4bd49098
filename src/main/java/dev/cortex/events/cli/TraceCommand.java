package dev.cortex.events.cli;

import dev.cortex.events.operate.TracedEvent;
import dev.cortex.events.operate.TracedEvent.TracedDelivery;
import java.sql.SQLException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Command;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;
import picocli.CommandLine.ParentCommand;

@Command(
    name = "trace",
    description =
        "Draw what belongs to an event or a correlation: what caused it, and all that followed.")
final class TraceCommand implements Callable<Integer> {
  private static final Report<TracedEvent> REPORT =
      Report.<TracedEvent>of("depth", TracedEvent::depth)
          .with("event_id", TracedEvent::eventId)
          .with("type", TracedEvent::type)
          .with("source", TracedEvent::source)
          .with("occurred_at", TracedEvent::occurredAt)
          .with("causation_id", TracedEvent::causationId)
          .with("correlation_id", TracedEvent::correlationId)
          .with(
              "deliveries",
              event -> event.deliveries().stream().map(TraceCommand::members).toList());

  @ParentCommand private Cortex cortex;

  @Parameters(paramLabel = "ID", description = "A public event id or a correlation id.")
  private String id;

  @Option(names = "--json", description = "As a JSON array, causes before what they caused.")
  private boolean json;

  @Override
  public Integer call() throws SQLException {
    try (Installation installation = cortex.open()) {
      List<TracedEvent> events = installation.operations(Role.AUDITOR).trace(id);
      if (events.isEmpty()) {
        throw new NothingFoundException("no event has this id or correlation id", id);
      }
      cortex.console().print(json ? REPORT.json(events) : new TraceTree(events).drawn());
    }
    return 0;
  }

  private static Map<String, @Nullable Object> members(TracedDelivery delivery) {
    Map<String, @Nullable Object> members = new LinkedHashMap<>();
    members.put("handler", delivery.handler());
    members.put("generation", delivery.generation());
    members.put("state", delivery.state().label());
    members.put("attempts", delivery.attempts());
    return members;
  }
}
