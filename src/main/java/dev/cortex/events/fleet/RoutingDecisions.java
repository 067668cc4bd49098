package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.handler.BatchContext;
import dev.cortex.events.handler.BatchHandler;
import java.math.BigDecimal;
import java.sql.SQLException;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * Records each routing.decision_made, and counts per type of task and master how often tasks were
 * routed so, and with what confidence; beside the masters' successes it makes {@code
 * fleet.routing_model}.
 *
 * <p>The rules:
 *
 * <ul>
 *   <li>The master is {@code payload.selected_master}, else {@code payload.master} (or {@code
 *       assigned_master}), else {@code metadata.master}; a decision for none is in the log only.
 *   <li>The confidence is {@code payload.confidence}, from 0 to 1.
 *   <li>A decision counts once, however often it is replayed; one received longer ago than {@code
 *       record_kept_for} (90 days) not at all.
 * </ul>
 *
 * <p>Any order gives the same rows: sums. Rows are locked in the order of types, then masters.
 */
final class RoutingDecisions implements BatchHandler {
  static final String NAME = "routing-decisions";

  /**
   * Parameters: arrays of equal length with event id, task, task type, master, confidence,
   * received. Locks: the statistics' rows, by type and master.
   */
  private static final String RECORD =
      """
      with fresh as (
        insert into fleet.decisions (event_id, task_id, task_type, master, confidence, received_at)
        select d.event_id, d.task_id, d.task_type, d.master, d.confidence::numeric, d.received_at::timestamptz
          from unnest(?, ?, ?, ?, ?, ?) as d(event_id, task_id, task_type, master, confidence, received_at)
         cross join fleet.settings s
         where d.received_at::timestamptz > clock_timestamp() - s.record_kept_for
         order by d.event_id
            on conflict (event_id) do nothing
        returning *
      )
      insert into fleet.routing_statistics as s (task_type, master, decisions, stated, total_confidence)
      select f.task_type, f.master, count(*), count(f.confidence), coalesce(sum(f.confidence), 0)
        from fresh f
       group by f.task_type, f.master
       order by f.task_type, f.master
          on conflict (task_type, master) do update
         set (decisions, stated, total_confidence) =
             (s.decisions + excluded.decisions, s.stated + excluded.stated, s.total_confidence + excluded.total_confidence)
      """;

  private record Decision(
      Event event, TaskFacts facts, String master, Optional<BigDecimal> confidence) {

    static Stream<Decision> of(Event event) {
      Payload payload = Payload.of(event);
      TaskFacts facts = TaskFacts.of(event);
      return payload.text("selected_master").or(facts::master).stream()
          .map(master -> new Decision(event, facts, master, payload.ratio("confidence")));
    }
  }

  @Override
  public void handle(List<Event> events, BatchContext context) throws SQLException {
    List<Decision> decisions = events.stream().flatMap(Decision::of).toList();
    Sql.update(
        context.connection(),
        RECORD,
        Sql.columns(
            decisions,
            decision -> decision.event().id(),
            decision -> decision.facts().taskId(),
            decision -> decision.facts().taskType().orElse(TaskFacts.UNSPECIFIED),
            Decision::master,
            Decision::confidence,
            decision -> decision.event().receivedAt()));
  }
}
