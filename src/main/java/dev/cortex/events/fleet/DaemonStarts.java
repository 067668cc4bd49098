package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Json;
import dev.cortex.events.event.Priority;
import dev.cortex.events.fleet.AlertEpisodes.Trouble;
import dev.cortex.events.handler.EventHandler;
import dev.cortex.events.handler.HandlerContext;
import dev.cortex.events.handler.Outcome;
import java.sql.SQLException;
import java.util.List;
import java.util.Map;

/**
 * Answers each system.daemon_start_requested for a daemon whose work handlers do now
 * (heartbeat-monitor, failure-pattern, auto-fix, worker-restart): they run where workers run, so
 * there is nothing to start but to say whether they are at work.
 *
 * <p>The rules:
 *
 * <ul>
 *   <li>The daemon is {@code payload.daemon}, {@code daemon_name} or {@code name}, with or without
 *       "-daemon" at its end.
 *   <li>When its handlers are known and none is paused, daemon.started is emitted, with {@code
 *       mode} events and the handlers.
 *   <li>Else an alert (daemon_not_started) of priority high names those that are missing or paused,
 *       once an episode.
 *   <li>A request for any other daemon is cancelled: it is a process, which no event starts.
 * </ul>
 *
 * <p>Any order does: each answer tells of the moment when it was given.
 */
final class DaemonStarts implements EventHandler {
  static final String NAME = "daemon-starts";

  /** Parameter: names of handlers. Result: those that are not at work. */
  private static final String NOT_AT_WORK =
      """
      select n.name
        from unnest(?) as n(name)
       where not exists (select from cortex.handler_status h where h.handler = n.name and h.paused_at is null)
       order by n.name
      """;

  @Override
  public Outcome handle(Event event, HandlerContext context) throws SQLException {
    String daemon = Daemon.nameIn(event);
    List<String> handlers = Daemon.handlersOf(daemon);
    if (handlers.isEmpty()) {
      return Outcome.cancel(daemon + " is a process, which no event starts");
    }
    List<String> missing =
        Sql.rows(context.connection(), NOT_AT_WORK, row -> row.getString(1), handlers);
    if (missing.isEmpty()) {
      context.emit(
          EventDraft.of("daemon.started", NAME)
              .withPayload(
                  Json.of(Map.of("daemon", daemon, "mode", "events", "handlers", handlers))));
      return Outcome.done();
    }
    Trouble trouble =
        new Trouble(
            "daemon_not_started",
            daemon,
            Priority.HIGH,
            daemon + " is not at work: missing or paused are " + String.join(", ", missing),
            Map.of("handlers", missing),
            event);
    AlertEpisodes.see(
        context.connection(), (draft, cause) -> context.emit(draft), NAME, List.of(trouble));
    return Outcome.done();
  }
}
