package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.event.Priority;
import dev.cortex.events.fleet.AlertEpisodes.Trouble;
import dev.cortex.events.handler.EventHandler;
import dev.cortex.events.handler.HandlerContext;
import dev.cortex.events.handler.Outcome;
import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Raises an alert when a rate or a duration deviates from what is usual, at every
 * system.anomaly_check_requested, which a schedule emits every five minutes.
 *
 * <p>The rules:
 *
 * <ul>
 *   <li>What is compared is, for each type of event, how many there were per {@code
 *       anomaly_interval} (5 minutes), and how long what they tell of took on average.
 *   <li>The last two full intervals deviate when both lie farther than {@code anomaly_spreads} (6)
 *       spreads from the median of the {@code anomaly_intervals} (24) before, on the same side. The
 *       spread is the usual distance from the median, and at least what chance gives. The view
 *       {@code fleet.deviations} says how it is worked out, and shows it for each type.
 *   <li>Types that are rare, with fewer than {@code anomaly_events} (20) in an interval, and such
 *       without a full history are not judged; nor are alerts.
 *   <li>An anomaly is told of once, when it begins (alert_type anomaly, priority medium), and is
 *       over at the first check at which it deviates no more: at the latest when the new value has
 *       become the usual one.
 *   <li>A check that is a replay, or old, judges nothing ({@link NewEvents}).
 *   <li>While events have been waiting to be counted for more than a second, the check waits; one
 *       that is itself older than an interval judges nothing and leaves it to the next.
 * </ul>
 *
 * <p>What is usual at night and unusual by day is told of as well: it knows of no days. Checks may
 * run at once and in any order: each judges the present, and {@link AlertEpisodes} tells once.
 */
final class Anomalies implements EventHandler {
  static final String NAME = "anomalies";

  private static final String ALERT_TYPE = "anomaly";
  private static final Duration WAIT = Duration.ofSeconds(2);

  private static final String DEVIATING =
      """
      select d.metric, d.type, d.value, d.median, d.spread, d.spreads_away
        from fleet.deviations d
       where d.deviates
       order by d.metric, d.type
      """;

  /**
   * A row where events wait to be counted: whether the check is younger than an interval.
   * Parameters: when it was received; the handler that counts.
   */
  private static final String BACKLOG =
      """
      select ? > clock_timestamp() - s.anomaly_interval
        from fleet.settings s
       where exists (
               select from cortex.queue_status q
                where q.handler = ?
                  and q.oldest_due < clock_timestamp() - interval '1 second')
      """;

  @Override
  public Outcome handle(Event event, HandlerContext context) throws SQLException {
    if (!NewEvents.isActedOn(event, context)) {
      return Outcome.done();
    }
    Optional<Boolean> isYoung = youngBesideBacklog(context.connection(), event);
    if (isYoung.isPresent()) {
      return isYoung.get() ? Outcome.snooze(WAIT) : Outcome.done();
    }
    List<Trouble> deviating = Sql.rows(context.connection(), DEVIATING, row -> trouble(row, event));
    AlertEpisodes.endOthers(
        context.connection(), ALERT_TYPE, deviating.stream().map(Trouble::subject).toList());
    AlertEpisodes.see(context.connection(), (draft, cause) -> context.emit(draft), NAME, deviating);
    return Outcome.done();
  }

  private static Optional<Boolean> youngBesideBacklog(Connection connection, Event check)
      throws SQLException {
    return Sql.rows(connection, BACKLOG, row -> row.getBoolean(1), check.receivedAt(), Metrics.NAME)
        .stream()
        .findFirst();
  }

  private static Trouble trouble(ResultSet row, Event cause) throws SQLException {
    String subject = row.getString("metric") + " of " + row.getString("type");
    BigDecimal value = row.getBigDecimal("value");
    BigDecimal median = row.getBigDecimal("median");
    Map<String, Object> facts = new LinkedHashMap<>();
    facts.put("metric", row.getString("metric"));
    facts.put("event_type", row.getString("type"));
    facts.put("value", value);
    facts.put("median", median);
    facts.put("spread", row.getBigDecimal("spread"));
    facts.put("spreads_away", row.getBigDecimal("spreads_away"));
    return new Trouble(
        ALERT_TYPE,
        subject,
        Priority.MEDIUM,
        subject + " is " + value.toPlainString() + ", usually " + median.toPlainString(),
        facts,
        cause);
  }
}
