package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import java.util.List;
import java.util.Map;

/** The daemons of the old system by name, and the handlers that do their work now. */
final class Daemon {

  /** By the name without "-daemon". The others are processes still. */
  private static final Map<String, List<String>> HANDLERS =
      Map.of(
          "heartbeat-monitor", List.of(WorkerHealth.NAME, StaleWorkers.NAME),
          "failure-pattern", List.of(FailurePatterns.NAME),
          "auto-fix", List.of(AutoFix.NAME),
          "worker-restart", List.of(WorkerRestarts.NAME));

  private Daemon() {}

  /** The daemon of which an event tells, else the event's source. */
  static String nameIn(Event event) {
    return Payload.of(event).text("daemon", "daemon_name", "name").orElse(event.source());
  }

  /** The handlers that do a daemon's work; none when it is a process. */
  static List<String> handlersOf(String daemon) {
    return HANDLERS.getOrDefault(daemon.replaceFirst("-daemon(\\.sh)?$", ""), List.of());
  }
}
