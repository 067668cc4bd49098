package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.InvalidEventException;
import dev.cortex.events.event.Json;
import dev.cortex.events.event.Priority;
import dev.cortex.events.fleet.AlertEpisodes.Trouble;
import dev.cortex.events.handler.EventHandler;
import dev.cortex.events.handler.HandlerContext;
import dev.cortex.events.handler.Outcome;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.List;
import java.util.Map;

/**
 * Answers each system.daemon_start_requested for a daemon whose work handlers do now ({@code
 * fleet.daemon_handlers}): they run where workers run, so there is nothing to start but to say
 * whether they are at work.
 *
 * <p>The rules:
 *
 * <ul>
 *   <li>The daemon is {@code payload.daemon}, {@code daemon_name} or {@code name}, with or without
 *       "-daemon" or "-daemon.sh" at its end.
 *   <li>When its handlers are known, none is paused, and a worker that lives runs each,
 *       daemon.started is emitted, with {@code mode} events and the handlers.
 *   <li>Else daemon.start_refused says why not, and an alert (daemon_not_started) of priority high
 *       names those that are missing, paused or run by nobody, once an episode.
 *   <li>Any other daemon is a process, which no event starts: refused, without an alert.
 *   <li>A request that names a {@code host} is cancelled: it is answered there, by whoever starts
 *       processes.
 *   <li>A request that is a replay, or old, is not answered ({@link NewEvents}).
 *   <li>Nothing is changed by a request. It may come from anybody who may emit, so it resumes no
 *       handler that an operator has paused.
 * </ul>
 *
 * <p>Any order does: each answer tells of the moment when it was given.
 */
final class DaemonStarts implements EventHandler {
  static final String NAME = "daemon-starts";

  /** Parameter: the daemon. No row: it is a process. */
  private static final String LOOK =
      """
      select d.handlers, d.missing || d.paused || d.idle as not_at_work, d.reason
        from fleet.event_daemons d
       where d.daemon = ?
      """;

  private static final String IS_A_PROCESS =
      "it is no daemon that is handlers; a process is started on its host, by `cortex daemon start`";

  private record Look(List<String> handlers, List<String> notAtWork, String reason) {
    static Look of(ResultSet row) throws SQLException {
      return new Look(
          List.of((String[]) row.getArray("handlers").getArray()),
          List.of((String[]) row.getArray("not_at_work").getArray()),
          row.getString("reason"));
    }
  }

  @Override
  public Outcome handle(Event event, HandlerContext context) throws SQLException {
    if (!NewEvents.isActedOn(event, context)) {
      return Outcome.done();
    }
    Payload payload = Payload.of(event);
    String daemon =
        payload
            .text("daemon", "daemon_name", "name")
            .map(name -> name.replaceFirst("-daemon(\\.sh)?$", ""))
            .orElseThrow(() -> new InvalidEventException("payload.daemon", "must be given"));
    if (payload.text("host").isPresent()) {
      return Outcome.cancel("a request for a host is answered there");
    }
    List<Look> looks = Sql.rows(context.connection(), LOOK, Look::of, daemon);
    if (looks.isEmpty()) {
      context.emit(refused(daemon, IS_A_PROCESS));
    } else if (looks.get(0).notAtWork().isEmpty()) {
      context.emit(started(daemon, looks.get(0).handlers()));
    } else {
      context.emit(refused(daemon, looks.get(0).reason()));
      alert(event, context, daemon, looks.get(0).notAtWork());
    }
    return Outcome.done();
  }

  private static EventDraft started(String daemon, List<String> handlers) {
    return EventDraft.of("daemon.started", NAME)
        .withPayload(Json.of(Map.of("daemon", daemon, "mode", "events", "handlers", handlers)));
  }

  private static EventDraft refused(String daemon, String reason) {
    return EventDraft.of("daemon.start_refused", NAME)
        .withPayload(Json.of(Map.of("daemon", daemon, "reason", reason)));
  }

  private static void alert(
      Event event, HandlerContext context, String daemon, List<String> notAtWork)
      throws SQLException {
    Trouble trouble =
        new Trouble(
            "daemon_not_started",
            daemon,
            Priority.HIGH,
            daemon
                + " is not at work: missing, paused or run by nobody are "
                + String.join(", ", notAtWork),
            Map.of("handlers", notAtWork),
            event);
    AlertEpisodes.see(
        context.connection(), (draft, cause) -> context.emit(draft), NAME, List.of(trouble));
  }
}
