package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Json;
import dev.cortex.events.event.Priority;
import dev.cortex.events.fleet.AlertEpisodes.Trouble;
import dev.cortex.events.handler.BatchContext;
import dev.cortex.events.handler.BatchHandler;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/**
 * Asks for a worker to be started anew that has failed (worker.failed) or fallen silent (a
 * system.health_alert of type stale_workers): emits worker.restart_requested, for whoever starts
 * workers.
 *
 * <p>The rules:
 *
 * <ul>
 *   <li>The worker is {@code payload.worker_id} (or {@code worker}), else the event's source; of an
 *       alert, each of {@code payload.workers}.
 *   <li>A worker's restart is asked for {@code restart_limit} (3) times within {@code
 *       restart_window} (1 hour), by the database's clock. Beyond that it is not, and an alert
 *       (restart_limit_reached) of priority high says so, once an episode. A limit of 0 is no wish
 *       for restarts, and tells of nothing.
 *   <li>Which events it is asked for: {@link NewEvents}.
 *   <li>Alerts of other types are none of its business, so its own cannot feed it.
 * </ul>
 *
 * <p>Any order asks as often: the worker's row counts under its lock. Rows are locked in the order
 * of workers.
 */
final class WorkerRestarts implements BatchHandler {
  static final String NAME = "worker-restarts";

  private static final String IS_WANTED = "select s.restart_limit > 0 from fleet.settings s";

  /**
   * Takes one of the restarts that a worker has. Parameter: worker. Result: how many were asked for
   * within the window, this one included; no row: there is none left. Locks: the worker's row.
   */
  private static final String TAKE =
      """
      insert into fleet.restarts as r (worker_id, requested_at, last_at)
      select ?, array[clock_timestamp()], clock_timestamp()
        from fleet.settings s
       where s.restart_limit > 0
          on conflict (worker_id) do update
         set requested_at = array(
               select t.moment
                 from unnest(r.requested_at) as t(moment)
                where t.moment > excluded.last_at - (select s.restart_window from fleet.settings s)
                order by t.moment) || excluded.requested_at,
             last_at = excluded.last_at
       where (select count(*)
                from unnest(r.requested_at) as t(moment)
               cross join fleet.settings s
               where t.moment > excluded.last_at - s.restart_window)
             < (select s.restart_limit from fleet.settings s)
      returning cardinality(r.requested_at)
      """;

  private record Loss(String workerId, String reason, Event event) {
    static Stream<Loss> of(Event event) {
      Payload payload = Payload.of(event);
      if (event.type().equals("worker.failed")) {
        String worker = payload.text("worker_id", "worker").orElse(event.source());
        return Stream.of(new Loss(worker, "failed", event));
      }
      return payload.shortText("alert_type").filter("stale_workers"::equals).isPresent()
          ? payload.texts("workers").stream().map(worker -> new Loss(worker, "stale", event))
          : Stream.empty();
    }
  }

  @Override
  public void handle(List<Event> events, BatchContext context) throws SQLException {
    if (!Sql.rows(context.connection(), IS_WANTED, row -> row.getBoolean(1)).get(0)) {
      return;
    }
    List<Loss> losses =
        events.stream()
            .filter(NewEvents.actedOn(context))
            .flatMap(Loss::of)
            .sorted(Comparator.comparing(Loss::workerId))
            .toList();
    List<Trouble> ended = new ArrayList<>();
    for (Loss loss : losses) {
      List<Integer> taken =
          Sql.rows(context.connection(), TAKE, row -> row.getInt(1), loss.workerId());
      if (taken.isEmpty()) {
        ended.add(limitReached(loss));
      } else {
        context.emit(request(loss, taken.get(0)), loss.event());
      }
    }
    AlertEpisodes.see(context.connection(), context::emit, NAME, ended);
  }

  private static EventDraft request(Loss loss, int number) {
    return EventDraft.of("worker.restart_requested", NAME)
        .withPayload(
            Json.of(
                Map.of("worker_id", loss.workerId(), "reason", loss.reason(), "restart", number)));
  }

  private static Trouble limitReached(Loss loss) {
    return new Trouble(
        "restart_limit_reached",
        loss.workerId(),
        Priority.HIGH,
        loss.workerId() + " is " + loss.reason() + " again and is not restarted any more",
        Map.of("worker_id", loss.workerId(), "reason", loss.reason()),
        loss.event());
  }
}
