package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Json;
import dev.cortex.events.event.Priority;
import dev.cortex.events.handler.EventHandler;
import dev.cortex.events.handler.HandlerContext;
import dev.cortex.events.handler.Outcome;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Looks for workers that have fallen silent, at every worker.stale_check_requested, which a
 * schedule emits each minute: so it is noticed, too, when no heartbeat arrives any more.
 *
 * <p>The rules:
 *
 * <ul>
 *   <li>A watched worker whose latest report was received longer ago than {@code stale_after} (5
 *       minutes), by the database's clock, is stale: an episode opens, which {@link WorkerHealth}
 *       ends.
 *   <li>One system.health_alert of priority high tells of all the episodes that a check has opened:
 *       alert_type stale_workers, the workers, threshold_seconds. So each episode is told of once.
 *   <li>A check that is a replay, or old, looks at nothing ({@link NewEvents}).
 *   <li>A check opens at most 500 episodes; the rest is left to the next one.
 *   <li>Silence counts only for a time in which reports could be heard. What was received after the
 *       oldest report that still waits to be handled is not known yet: the latest report of the
 *       others is compared with that moment. And where a tick of the schedule was missed, nobody
 *       looked, because the database was away or no worker ran: silence counts from the tick after
 *       that, since reports may be on their way from spools.
 * </ul>
 *
 * <p>Checks may run at once and in any order: a unique index lets a worker be in one open episode
 * only, and the check that loses has opened none and tells of none.
 */
final class StaleWorkers implements EventHandler {
  static final String NAME = "stale-workers";

  private static final int MAX_EPISODES = 500;
  private static final int WORKERS_IN_MESSAGE = 5;

  /** Of the migrations; fires {@code worker.stale_check_requested}. */
  private static final String SCHEDULE = "stale-worker-check";

  /**
   * Opens an episode for each worker that is stale and in none.
   *
   * <p>Parameters: the handler of reports; the schedule; how many at most. A tick is missed where
   * two fires are farther apart than the schedule's ticks, of which the nearest two of the last
   * hundred tell. Locks: the workers' rows, by worker id; one that a report has just changed is
   * looked at again. Arbiter: a_worker_is_in_one_open_episode.
   */
  private static final String OPEN_EPISODES =
      """
      with heard as (
        select least(clock_timestamp(), min(q.oldest_due)) as until
          from cortex.queue_status q
         where q.handler = ?
      ), fires as (
        select f.fired_at, f.fire_at - lag(f.fire_at) over (order by f.fire_at) as distance
          from (select * from cortex.fires where schedule = ? order by fire_at desc limit 100) f
      ), looked as (
        select max(f.fired_at) as since
          from fires f
         where f.distance > 1.5 * (select min(distance) from fires)
      )
      insert into fleet.stale_episodes (worker_id, silent_since, threshold)
      select w.worker_id, w.heard_at, s.stale_after
        from fleet.worker_health w
       cross join fleet.settings s
       cross join heard
       cross join looked
       where w.watched
         and greatest(w.heard_at, looked.since) < heard.until - s.stale_after
         and not exists (select from fleet.stale_episodes e where e.worker_id = w.worker_id and e.ended_at is null)
       order by w.worker_id
       limit ?
         for update of w
          on conflict (worker_id) where ended_at is null do nothing
      returning episode_id, worker_id, extract(epoch from threshold)::bigint as threshold_seconds
      """;

  private static final String TELL =
      """
      update fleet.stale_episodes set alert_id = ? where episode_id = any (?::bigint[])
      """;

  private record Episode(long id, String workerId, long thresholdSeconds) {}

  @Override
  public Outcome handle(Event event, HandlerContext context) throws SQLException {
    if (!NewEvents.isActedOn(event, context)) {
      return Outcome.done();
    }
    List<Episode> opened = openEpisodes(context.connection());
    if (!opened.isEmpty()) {
      tell(context.connection(), opened, context.emit(alert(opened)));
    }
    return Outcome.done();
  }

  private static List<Episode> openEpisodes(Connection connection) throws SQLException {
    return Sql.rows(
        connection,
        OPEN_EPISODES,
        row ->
            new Episode(
                row.getLong("episode_id"),
                row.getString("worker_id"),
                row.getLong("threshold_seconds")),
        WorkerHealth.NAME,
        SCHEDULE,
        MAX_EPISODES);
  }

  private static EventDraft alert(List<Episode> opened) {
    List<String> workers = opened.stream().map(Episode::workerId).toList();
    long threshold = opened.get(0).thresholdSeconds();
    Map<String, Object> payload = new LinkedHashMap<>();
    payload.put("alert_type", "stale_workers");
    payload.put("severity", "high");
    payload.put("workers", workers);
    payload.put("worker_count", workers.size());
    payload.put("threshold_seconds", threshold);
    payload.put("message", message(workers, threshold));
    return EventDraft.of("system.health_alert", NAME)
        .withPayload(Json.of(payload))
        .withPriority(Priority.HIGH);
  }

  private static String message(List<String> workers, long threshold) {
    String named =
        String.join(", ", workers.subList(0, Math.min(WORKERS_IN_MESSAGE, workers.size())));
    String more =
        workers.size() > WORKERS_IN_MESSAGE
            ? " and " + (workers.size() - WORKERS_IN_MESSAGE) + " more"
            : "";
    return "silent for more than " + threshold + " s: " + named + more;
  }

  private static void tell(Connection connection, List<Episode> opened, String alertId)
      throws SQLException {
    Sql.update(connection, TELL, alertId, opened.stream().map(e -> Long.toString(e.id())).toList());
  }
}
