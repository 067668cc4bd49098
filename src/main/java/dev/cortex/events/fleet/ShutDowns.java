package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.event.Priority;
import dev.cortex.events.fleet.AlertEpisodes.Trouble;
import dev.cortex.events.handler.EventHandler;
import dev.cortex.events.handler.HandlerContext;
import dev.cortex.events.handler.Outcome;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Counts what is still at work at each daemon.stopped, and records it in {@code fleet.shutdowns}.
 *
 * <p>The rules:
 *
 * <ul>
 *   <li>Active are the workers that are busy or free ({@code fleet.worker_pool}); the first 500 are
 *       named. Counted are open tasks, and deliveries that are due.
 *   <li>Active workers raise one system.health_alert of priority high: alert_type
 *       active_workers_at_shutdown, subject the daemon (as in {@link StartUps}), workers; once an
 *       episode.
 * </ul>
 *
 * <p>What is so now says nothing of a stop of long ago: a replay, or an old event, is not counted
 * for ({@link NewEvents}).
 *
 * <p>Any order does: what is recorded is what was so when it was counted.
 */
final class ShutDowns implements EventHandler {
  static final String NAME = "shut-downs";

  static final String ACTIVE_WORKERS =
      """
      select w.worker_id from fleet.worker_pool w where w.state in ('busy', 'free') order by w.worker_id limit 500
      """;

  /** Parameters: event id, daemon, stopped, active workers. */
  static final String RECORD =
      """
      insert into fleet.shutdowns (event_id, daemon, stopped_at, active_workers, counts)
      select ?, ?, ?, ?,
             jsonb_build_object(
               'open_tasks', (select count(*) from fleet.tasks t where t.state in ('created', 'assigned')),
               'due_deliveries', (select coalesce(sum(q.available), 0) from cortex.queue_status q))
          on conflict (event_id) do nothing
      """;

  @Override
  public Outcome handle(Event event, HandlerContext context) throws SQLException {
    if (!NewEvents.isActedOn(event, context)) {
      return Outcome.done();
    }
    String daemon = Daemon.nameIn(event);
    Connection connection = context.connection();
    List<String> active = Sql.rows(connection, ACTIVE_WORKERS, row -> row.getString(1));
    Sql.update(connection, RECORD, event.id(), daemon, Occurrence.of(event), active);
    List<Trouble> troubles = new ArrayList<>();
    if (!active.isEmpty()) {
      troubles.add(
          new Trouble(
              "active_workers_at_shutdown",
              daemon,
              Priority.HIGH,
              daemon + " stopped while " + active.size() + " workers were active",
              Map.of("workers", active, "worker_count", active.size()),
              event));
    }
    AlertEpisodes.see(connection, (draft, cause) -> context.emit(draft), NAME, troubles);
    return Outcome.done();
  }
}
