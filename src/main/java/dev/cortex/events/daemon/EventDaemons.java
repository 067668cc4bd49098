package dev.cortex.events.daemon;

import dev.cortex.events.event.Json;
import java.math.BigDecimal;
import java.sql.Array;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * The daemons of the old system that are handlers now. Such a daemon runs while workers that live
 * run its handlers and none of them is paused; stopping it pauses them. On the caller's connection
 * and in its transaction, which has to be an operator's.
 */
public final class EventDaemons {
  private static final String ALL =
      """
      select d.daemon, d.handlers, d.missing, d.paused, d.state, d.reason
        from fleet.event_daemons d
       order by d.daemon
      """;

  /** Parameter: the host to leave out. */
  private static final String ELSEWHERE =
      """
      select d.daemon, d.host, d.state, d.since, d.pid, d.reason
        from fleet.daemons d
       where d.host is not null
         and d.host <> ?
       order by d.daemon, d.host
      """;

  /** By the function, which operators may call; INSERT is the emitters'. */
  private static final String EMIT = "select cortex.emit(?, ?, ?::jsonb)";

  private static final String PAUSE = "select cortex.pause_handler(?, ?)";
  private static final String RESUME = "select cortex.resume_handler(?, ?)";

  /** Parameter: public id of the request. Index: events_causation. */
  private static final String ANSWER =
      """
      select l.what, l.reason
        from fleet.daemon_life l
       where l.causation_id = ?
         and l.what in ('started', 'refused')
       order by l.happened_at
       limit 1
      """;

  private final Connection connection;
  private final String source;

  /**
   * On a connection.
   *
   * @param source who asks, in the events that say so
   */
  public EventDaemons(Connection connection, String source) {
    this.connection = connection;
    this.source = source;
  }

  /**
   * One as it is now.
   *
   * @param handlers which do its work
   * @param missing those of them that no worker has run yet
   * @param paused those of them that are paused
   * @param state running or stopped
   * @param reason why it is stopped
   */
  public record Status(
      String daemon,
      List<String> handlers,
      List<String> missing,
      List<String> paused,
      String state,
      String reason) {
    public Status {
      handlers = List.copyOf(handlers);
      missing = List.copyOf(missing);
      paused = List.copyOf(paused);
    }
  }

  /** What became of a request: started, or refused with the reason. */
  public record Answer(boolean isStarted, String reason) {}

  /** All of them, by name. */
  public List<Status> all() throws SQLException {
    List<Status> all = new ArrayList<>();
    try (PreparedStatement statement = connection.prepareStatement(ALL);
        ResultSet row = statement.executeQuery()) {
      while (row.next()) {
        all.add(
            new Status(
                row.getString("daemon"),
                texts(row.getArray("handlers")),
                texts(row.getArray("missing")),
                texts(row.getArray("paused")),
                row.getString("state"),
                row.getString("reason")));
      }
    }
    return all;
  }

  /**
   * What was told last of a process on another host.
   *
   * @param state requested, started, stopped or refused
   */
  public record Told(
      String daemon, String host, String state, Instant since, Optional<Long> pid, String reason) {}

  /** The processes of every host but one. */
  public List<Told> toldOfOtherHosts(String host) throws SQLException {
    List<Told> all = new ArrayList<>();
    try (PreparedStatement statement = connection.prepareStatement(ELSEWHERE)) {
      statement.setString(1, host);
      try (ResultSet row = statement.executeQuery()) {
        while (row.next()) {
          all.add(
              new Told(
                  row.getString("daemon"),
                  row.getString("host"),
                  row.getString("state"),
                  row.getObject("since", OffsetDateTime.class).toInstant(),
                  Optional.ofNullable(row.getBigDecimal("pid")).map(BigDecimal::longValue),
                  text(row.getString("reason"))));
        }
      }
    }
    return all;
  }

  /** Resumes what is paused of it, and asks for it to be started; the request's public id. */
  public String start(Status daemon, String reason) throws SQLException {
    for (String handler : daemon.paused()) {
      call(RESUME, handler, reason);
    }
    return emit(
        "system.daemon_start_requested",
        Json.of(Map.of("daemon", daemon.daemon(), "reason", reason)));
  }

  /** What a handler has answered to a request, as soon as it has. */
  public Optional<Answer> answer(String request) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(ANSWER)) {
      statement.setString(1, request);
      try (ResultSet row = statement.executeQuery()) {
        return row.next()
            ? Optional.of(
                new Answer(row.getString("what").equals("started"), text(row.getString("reason"))))
            : Optional.empty();
      }
    }
  }

  /** Pauses its handlers and says so. What comes for them meanwhile waits. */
  public void stop(Status daemon, String reason) throws SQLException {
    for (String handler : daemon.handlers()) {
      if (!daemon.missing().contains(handler)) {
        call(PAUSE, handler, reason);
      }
    }
    Map<String, Object> payload = new LinkedHashMap<>();
    payload.put("daemon", daemon.daemon());
    payload.put("handlers", daemon.handlers());
    payload.put("reason", reason);
    String unused = emit("daemon.stopped", Json.of(payload));
  }

  private String emit(String type, Json payload) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(EMIT)) {
      statement.setString(1, type);
      statement.setString(2, source);
      statement.setString(3, payload.text());
      try (ResultSet row = statement.executeQuery()) {
        row.next();
        return row.getString(1);
      }
    }
  }

  private void call(String verb, String handler, String reason) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(verb)) {
      statement.setString(1, handler);
      statement.setString(2, reason);
      statement.execute();
    }
  }

  private static List<String> texts(Array array) throws SQLException {
    return List.of((String[]) array.getArray());
  }

  private static String text(@Nullable String value) {
    return value == null ? "" : value;
  }
}
