package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.handler.BatchContext;
import dev.cortex.events.handler.BatchHandler;
import java.sql.SQLException;
import java.time.Instant;
import java.util.List;
import java.util.Optional;

/**
 * Keeps {@code fleet.worker_health} current from what workers report: worker.started,
 * worker.heartbeat, worker.completed and worker.failed.
 *
 * <p>The rules:
 *
 * <ul>
 *   <li>A report is of the worker that {@code payload.worker_id} (or {@code worker}) names, else of
 *       the event's source.
 *   <li>When a worker was last heard is when the database received its latest report. What it said
 *       is its newest report, by the time that the report gives, or its time of receipt where it
 *       claims to be from the future; of two of the same moment, the one received later.
 *   <li>A worker that has completed or failed is not watched, until it reports otherwise.
 *   <li>A report received after a stale episode opened, or within the threshold before, ends the
 *       episode, at the time when the first such report was received.
 *   <li>A report received longer ago than {@code worker_kept_for} (7 days) changes nothing: its
 *       worker may have been forgotten since.
 * </ul>
 *
 * <p>Any order gives the same rows: each column is the greatest, by a total order, over all the
 * reports of a worker, and the end of an episode the least over those that end it. Rows are locked
 * in the order of worker ids, here and wherever else they are locked.
 */
final class WorkerHealth implements BatchHandler {
  static final String NAME = "worker-health";

  /**
   * Parameters: arrays of equal length with worker, event id, received, reported, status, watched,
   * task. Locks: the workers' rows, by worker id. Index: the primary key.
   */
  private static final String RECORD =
      """
      with reports as (
        select r.worker_id, r.event_id, r.received_at::timestamptz, r.reported_at::timestamptz,
               r.status, r.watched::boolean, r.task_id,
               max(r.received_at::timestamptz) over (partition by r.worker_id) as heard_at
          from unnest(?, ?, ?, ?, ?, ?, ?)
               as r(worker_id, event_id, received_at, reported_at, status, watched, task_id)
         cross join fleet.settings s
         where r.received_at::timestamptz > clock_timestamp() - s.worker_kept_for
      ), newest as (
        select distinct on (r.worker_id) r.*
          from reports r
         order by r.worker_id, r.reported_at desc, r.received_at desc, r.event_id collate "C" desc
      )
      insert into fleet.worker_health as w (
        worker_id, heard_at, reported_at, report_received_at, report_id, status, watched, task_id)
      select n.worker_id, n.heard_at, n.reported_at, n.received_at, n.event_id, n.status, n.watched, n.task_id
        from newest n
       order by n.worker_id
          on conflict (worker_id) do update
         set heard_at = greatest(w.heard_at, excluded.heard_at),
             (reported_at, report_received_at, report_id, status, watched, task_id) = (
               select r.reported_at, r.received_at, r.event_id, r.status, r.watched, r.task_id
                 from (values (w.reported_at, w.report_received_at, w.report_id, w.status, w.watched, w.task_id),
                              (excluded.reported_at, excluded.report_received_at, excluded.report_id,
                               excluded.status, excluded.watched, excluded.task_id))
                      as r(reported_at, received_at, event_id, status, watched, task_id)
                order by r.reported_at desc, r.received_at desc, r.event_id collate "C" desc
                limit 1)
      """;

  /**
   * Runs after {@link #RECORD}, whose locks keep a check from opening an episode meanwhile, and
   * sees every episode opened before.
   *
   * <p>Parameters: arrays with worker and received. Index: stale_episodes_worker.
   */
  private static final String END_EPISODES =
      """
      with ending as (
        select e.episode_id, min(r.received_at::timestamptz) as heard_at
          from unnest(?, ?) as r(worker_id, received_at)
          join fleet.stale_episodes e on e.worker_id = r.worker_id
         where r.received_at::timestamptz >= e.opened_at - e.threshold
           and (e.ended_at is null or e.ended_at > r.received_at::timestamptz)
         group by e.episode_id
      )
      update fleet.stale_episodes e
         set ended_at = least(e.ended_at, n.heard_at)
        from ending n
       where e.episode_id = n.episode_id
      """;

  private record Report(
      String workerId,
      String eventId,
      Instant receivedAt,
      Instant reportedAt,
      String status,
      boolean isWatched,
      Optional<String> taskId) {

    static Report of(Event event) {
      Payload payload = Payload.of(event);
      return new Report(
          payload.text("worker_id", "worker").orElse(event.source()),
          event.id(),
          event.receivedAt(),
          Occurrence.of(event),
          status(event, payload),
          !event.type().equals("worker.completed") && !event.type().equals("worker.failed"),
          payload.shortText("task_id", "current_task"));
    }

    private static String status(Event event, Payload payload) {
      return switch (event.type()) {
        case "worker.started" -> "started";
        case "worker.completed" -> "completed";
        case "worker.failed" -> "failed";
        default -> payload.shortText("status").orElse("healthy");
      };
    }
  }

  @Override
  public void handle(List<Event> events, BatchContext context) throws SQLException {
    List<Report> reports = events.stream().map(Report::of).toList();
    Sql.update(
        context.connection(),
        RECORD,
        Sql.columns(
            reports,
            Report::workerId,
            Report::eventId,
            Report::receivedAt,
            Report::reportedAt,
            Report::status,
            Report::isWatched,
            Report::taskId));
    Sql.update(
        context.connection(),
        END_EPISODES,
        Sql.columns(reports, Report::workerId, Report::receivedAt));
  }
}
