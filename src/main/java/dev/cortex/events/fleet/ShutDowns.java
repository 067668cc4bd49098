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
 * <p>Any order does: what is recorded is what was so when it was counted.
 */
final class ShutDowns implements EventHandler {
  static final String NAME = "shut-downs";

  private static final String ACTIVE_WORKERS =
      """
      select w.worker_id from fleet.worker_pool w where w.state in ('busy', 'free') order by w.worker_id limit 500
      """;

  /** Parameters: event id, generation, daemon, stopped, active workers. */
  private static final String RECORD =
      """
      insert into fleet.shutdowns (event_id, generation, daemon, stopped_at, active_workers, counts)
      select ?, ?, ?, ?, ?,
             jsonb_build_object(
               'open_tasks', (select count(*) from fleet.task_board t where t.state in ('created', 'assigned')),
               'due_deliveries', (select coalesce(sum(q.available), 0) from cortex.queue_status q))
          on conflict (event_id, generation) do nothing
      """;

  @Override
  public Outcome handle(Event event, HandlerContext context) throws SQLException {
    String daemon = Daemon.nameIn(event);
    Connection connection = context.connection();
    List<String> active = Sql.rows(connection, ACTIVE_WORKERS, row -> row.getString(1));
    Sql.update(
        connection, RECORD, event.id(), context.generation(), daemon, event.occurredAt(), active);
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
