package dev.cortex.events.cli;

import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.LeaseCause;
import dev.cortex.events.outbox.Outbox;
import java.sql.Connection;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * How the command line emits. Called by a program that runs for a leased delivery, it names that
 * delivery as the cause, as the program's environment does.
 */
final class Emission {
  private final Outbox outbox = new Outbox();
  private final Optional<LeaseCause> cause;

  private Emission(Optional<LeaseCause> cause) {
    this.cause = cause;
  }

  static Emission in(Map<String, String> environment) {
    return new Emission(
        Optional.ofNullable(environment.get("CORTEX_EVENT_ID"))
            .map(
                eventId ->
                    new LeaseCause(
                        eventId,
                        environment.getOrDefault("CORTEX_HANDLER", ""),
                        fence(environment.getOrDefault("CORTEX_FENCE", "")))));
  }

  /** What is no number is no lease's, which the database says in the same words. */
  private static long fence(String text) {
    try {
      return Long.parseLong(text);
    } catch (NumberFormatException e) {
      return 0;
    }
  }

  String emit(Connection connection, EventDraft draft) {
    return cause.isPresent()
        ? outbox.emit(connection, draft, cause.get())
        : outbox.emit(connection, draft);
  }

  List<String> emitAll(Connection connection, List<EventDraft> drafts) {
    return cause.isPresent()
        ? drafts.stream().map(draft -> outbox.emit(connection, draft, cause.get())).toList()
        : outbox.emitAll(connection, drafts);
  }
}
