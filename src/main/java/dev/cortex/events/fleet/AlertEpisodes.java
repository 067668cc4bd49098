package dev.cortex.events.fleet;

import dev.cortex.events.event.Event;
import dev.cortex.events.event.EventDraft;
import dev.cortex.events.event.Json;
import dev.cortex.events.event.Priority;
import java.sql.Connection;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Tells of a trouble once, when it begins, rather than each time it is seen: what is seen opens an
 * episode of its alert type and subject in {@code fleet.episodes} and emits one
 * system.health_alert; while the episode is open, it is only counted. An episode ends when its
 * handler says so, or when it has not been seen for {@code alert_quiet_after} (1 hour).
 *
 * <p>Any order gives the same episodes but for their times: a unique index lets a subject be in one
 * open episode only. How often something was seen again is counted per batch. Rows are locked in
 * the order of alert types and subjects.
 */
final class AlertEpisodes {

  /** Parameters: arrays with alert type and subject. Index: a_subject_is_in_one_open_episode. */
  private static final String END_QUIET =
      """
      with quiet as (
        select e.episode_id
          from unnest(?, ?) as t(alert_type, subject)
         cross join fleet.settings s
          join fleet.episodes e on e.alert_type = t.alert_type and e.subject = t.subject and e.ended_at is null
         where e.last_seen_at < clock_timestamp() - s.alert_quiet_after
         order by e.alert_type, e.subject
           for update of e
      )
      update fleet.episodes e
         set ended_at = e.last_seen_at + (select s.alert_quiet_after from fleet.settings s)
        from quiet q
       where e.episode_id = q.episode_id
      """;

  /**
   * Parameters: arrays with alert type and subject, each pair once. Result: the open episodes; one
   * without an alert was opened here. Arbiter: a_subject_is_in_one_open_episode.
   */
  private static final String SEE =
      """
      insert into fleet.episodes as e (alert_type, subject, seen)
      select t.alert_type, t.subject, 1
        from unnest(?, ?) as t(alert_type, subject)
       order by t.alert_type, t.subject
          on conflict (alert_type, subject) where ended_at is null do update
         set last_seen_at = clock_timestamp(),
             seen = e.seen + 1
      returning e.episode_id, e.alert_type, e.subject, e.alert_id is null as is_new
      """;

  /** Parameters: the alert's id, the episode. */
  private static final String TELL =
      """
      update fleet.episodes set alert_id = ? where episode_id = ?
      """;

  /** Parameters: alert type, the subjects that are still in trouble. */
  private static final String END_OTHERS =
      """
      update fleet.episodes e
         set ended_at = clock_timestamp()
       where e.alert_type = ?
         and e.ended_at is null
         and e.subject <> all (?)
      """;

  /**
   * Something to be told of.
   *
   * @param alertType what kind of trouble
   * @param subject what is in trouble: at most one episode of it is open
   * @param priority of the alert, and its severity
   * @param message for people
   * @param facts what else the alert says
   * @param cause the event by which it was seen
   */
  record Trouble(
      String alertType,
      String subject,
      Priority priority,
      String message,
      Map<String, ?> facts,
      Event cause) {

    private EventDraft alert(String source) {
      Map<String, Object> payload = new LinkedHashMap<>();
      payload.put("alert_type", alertType);
      payload.put("subject", subject);
      payload.put("severity", priority.label());
      payload.put("message", message);
      payload.putAll(facts);
      return EventDraft.of("system.health_alert", source)
          .withPayload(Json.of(payload))
          .withPriority(priority);
    }
  }

  /** Emits as a handler does, with one of its events as the cause. */
  interface Emitter {
    String emit(EventDraft draft, Event cause);
  }

  private record Kind(String alertType, String subject) {}

  private record Episode(long id, Kind kind, boolean isNew) {}

  private AlertEpisodes() {}

  /** Of several troubles of one kind, the first is told. */
  static void see(Connection connection, Emitter emitter, String source, List<Trouble> troubles)
      throws SQLException {
    if (troubles.isEmpty()) {
      return;
    }
    Map<Kind, Trouble> kinds =
        new TreeMap<>(Comparator.comparing(Kind::alertType).thenComparing(Kind::subject));
    troubles.forEach(t -> kinds.putIfAbsent(new Kind(t.alertType(), t.subject()), t));
    Object[] columns = Sql.columns(new ArrayList<>(kinds.keySet()), Kind::alertType, Kind::subject);
    Sql.update(connection, END_QUIET, columns);
    for (Episode episode : Sql.rows(connection, SEE, AlertEpisodes::episode, columns)) {
      Trouble trouble = kinds.get(episode.kind());
      if (episode.isNew() && trouble != null) {
        String alert = emitter.emit(trouble.alert(source), trouble.cause());
        Sql.update(connection, TELL, alert, episode.id());
      }
    }
  }

  private static Episode episode(ResultSet row) throws SQLException {
    return new Episode(
        row.getLong("episode_id"),
        new Kind(row.getString("alert_type"), row.getString("subject")),
        row.getBoolean("is_new"));
  }

  /** Ends the open episodes of this type, but those of these subjects. */
  static void endOthers(Connection connection, String alertType, List<String> subjects)
      throws SQLException {
    Sql.update(connection, END_OTHERS, alertType, subjects);
  }
}
