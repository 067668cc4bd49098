package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Json;
import dev.cortex.events.handler.EventHandler;
import dev.cortex.events.handler.HandlerContext;
import dev.cortex.events.handler.Outcome;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.LinkedHashMap;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/**
 * Answers each system.observability_check with a system.observability_reported, which has the check
 * as its cause.
 *
 * <p>The rules:
 *
 * <ul>
 *   <li>The event system is active when the log has received an event within {@code active_within}
 *       (5 minutes), by the database's clock. Checks and answers do not count.
 *   <li>A check that is a replay, or old, is not answered ({@link NewEvents}).
 *   <li>The answer says active, events (10001: more than 10,000), last_event_at and within_seconds,
 *       as the view {@code fleet.observability} does at any time.
 * </ul>
 *
 * <p>Any order does: each answer tells of the moment when it was given.
 */
final class ObservabilityChecks implements EventHandler {
  static final String NAME = "observability-checks";

  private static final String ACTIVITY =
      """
      select o.active, o.events, cortex.iso_time(o.last_event_at) as last_event_at, o.within_seconds
        from fleet.observability o
      """;

  @Override
  public Outcome handle(Event event, HandlerContext context) throws SQLException {
    if (!NewEvents.isActedOn(event, context)) {
      return Outcome.done();
    }
    Json answer = Sql.rows(context.connection(), ACTIVITY, ObservabilityChecks::answer).get(0);
    context.emit(EventDraft.of("system.observability_reported", NAME).withPayload(answer));
    return Outcome.done();
  }

  private static Json answer(ResultSet row) throws SQLException {
    Map<String, @Nullable Object> payload = new LinkedHashMap<>();
    payload.put("active", row.getBoolean("active"));
    payload.put("events", row.getLong("events"));
    payload.put("last_event_at", row.getString("last_event_at"));
    payload.put("within_seconds", row.getLong("within_seconds"));
    return Json.of(payload);
  }
}
