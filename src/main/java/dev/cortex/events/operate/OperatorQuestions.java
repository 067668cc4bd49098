package dev.cortex.events.operate;

import com.fasterxml.jackson.core.JsonProcessingException;
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.json.JsonMapper;
import dev.cortex.events.event.ErrorCode;
import dev.cortex.events.event.Json;
import dev.cortex.events.event.Priority;
import dev.cortex.events.operate.TracedEvent.TracedDelivery;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;

/** The questions: each is a view or a function of the database, bounded there or here. */
final class OperatorQuestions {
  private static final JsonMapper MAPPER = new JsonMapper();

  private final OperationsDatabase database;

  OperatorQuestions(OperationsDatabase database) {
    this.database = database;
  }

  List<QueueStatus> queueStatus() {
    return database.ask(
        "queue status",
        handle ->
            handle
                .createQuery("select * from cortex.queue_status order by handler, priority")
                .map((row, context) -> queueStatus(new Columns(row)))
                .list());
  }

  List<String> pollingWorkers() {
    return database.ask(
        "polling workers",
        handle ->
            handle
                .createQuery(
                    """
                    select name
                      from cortex.workers
                     where stopped_at is null
                       and polls
                     order by name
                    """)
                .mapTo(String.class)
                .list());
  }

  private static QueueStatus queueStatus(Columns columns) throws SQLException {
    ResultSet row = columns.row();
    return new QueueStatus(
        row.getString("handler"),
        columns.priority("priority"),
        row.getBoolean("paused"),
        row.getLong("available"),
        row.getLong("scheduled"),
        row.getLong("running"),
        row.getLong("retrying"),
        row.getLong("held"),
        row.getLong("dead"),
        columns.moment("oldest_due"));
  }

  Set<String> handlersOfPrograms() {
    return Set.copyOf(
        database.ask(
            "handlers",
            handle ->
                handle
                    .createQuery(
                        "select h.handler from cortex.handler_status h where h.implementation = 'program'")
                    .mapTo(String.class)
                    .list()));
  }

  List<HandlerStatus> handlers() {
    return database.ask(
        "handlers",
        handle ->
            handle
                .createQuery(
                    """
                    select h.handler, h.mode, h.lanes, h.when_dead, h.implementation, h.max_attempts,
                           h.max_running, h.declared_running, h.limited_by_operator, h.paused_at,
                           h.registered_at, h.patterns, h.retiring, h.retired_at, h.former_names,
                           extract(epoch from h.time_budget) as time_budget
                      from cortex.handler_status h
                     order by h.handler
                    """)
                .map((row, context) -> handlerStatus(new Columns(row)))
                .list());
  }

  private static HandlerStatus handlerStatus(Columns columns) throws SQLException {
    ResultSet row = columns.row();
    return new HandlerStatus(
        row.getString("handler"),
        row.getString("mode"),
        row.getInt("lanes"),
        row.getString("when_dead"),
        row.getString("implementation"),
        row.getInt("max_attempts"),
        OperationsDatabase.seconds(row.getDouble("time_budget")),
        columns.number("max_running"),
        columns.number("declared_running"),
        row.getBoolean("limited_by_operator"),
        columns.moment("paused_at"),
        columns.certainMoment("registered_at"),
        columns.texts("patterns"),
        columns.optional("retiring"),
        columns.moment("retired_at"),
        columns.texts("former_names"));
  }

  List<DeadLetter> deadLetters(String handler, long afterPosition, int limit) {
    checkLimit(limit);
    return database.ask(
        "dead letters",
        handle ->
            handle
                .createQuery(
                    """
                    select d.*
                      from cortex.dead_letters d
                     where d.handler = :handler
                       and d.event > :after
                     order by d.event
                     fetch first (:limit) rows with ties
                    """)
                .bind("handler", handler)
                .bind("after", afterPosition)
                .bind("limit", limit)
                .map((row, context) -> deadLetter(new Columns(row)))
                .list());
  }

  private static DeadLetter deadLetter(Columns columns) throws SQLException {
    ResultSet row = columns.row();
    return new DeadLetter(
        row.getString("handler"),
        row.getString("event_id"),
        columns.optional("type"),
        columns.optional("source"),
        Priority.of(row.getString("priority")),
        row.getInt("generation"),
        row.getInt("attempts"),
        columns.moment("died_at"),
        columns.optional("reason"),
        columns.optional("error"),
        row.getLong("event"));
  }

  List<BlockedKey> blockedKeys(int limit) {
    checkLimit(limit);
    return database.ask(
        "blocked keys",
        handle ->
            handle
                .createQuery(
                    """
                    select b.handler, b.key, b.event_id, b.type, b.state, b.attempts,
                           nullif(b.run_at, 'infinity') as until, b.waiting, b.reason, b.error
                      from cortex.blocked b
                     order by b.waiting desc, b.handler, b.key
                     limit :limit
                    """)
                .bind("limit", limit)
                .map((row, context) -> blockedKey(new Columns(row)))
                .list());
  }

  private static BlockedKey blockedKey(Columns columns) throws SQLException {
    ResultSet row = columns.row();
    return new BlockedKey(
        row.getString("handler"),
        row.getString("key"),
        row.getString("event_id"),
        columns.optional("type"),
        DeliveryState.of(row.getString("state")),
        row.getInt("attempts"),
        columns.moment("until"),
        row.getLong("waiting"),
        columns.optional("reason"),
        columns.optional("error"));
  }

  boolean isRecorded(String eventId) {
    return database.ask(
        "event",
        handle ->
            handle
                .createQuery("select exists (select from cortex.locate_event(:eventId))")
                .bind("eventId", eventId)
                .mapTo(Boolean.class)
                .one());
  }

  boolean isLogOnly(String eventId) {
    return database.ask(
        "event",
        handle ->
            handle
                .createQuery(
                    """
                    select exists (
                             select from cortex.locate_event(:eventId) n
                               join cortex.event_log l
                                 on l.id = n.id and l.received_at = n.received_at
                              where l.log_only)
                    """)
                .bind("eventId", eventId)
                .mapTo(Boolean.class)
                .one());
  }

  List<DeliveryStatus> deliveries(String eventId) {
    return database.ask(
        "deliveries",
        handle ->
            handle
                .createQuery(
                    """
                    select d.handler, d.generation, d.state, d.attempts,
                           nullif(d.run_at, 'infinity') as run_at,
                           d.finished_at, d.reason, d.error
                      from cortex.deliveries_of(:eventId) d
                    """)
                .bind("eventId", eventId)
                .map((row, context) -> deliveryStatus(new Columns(row)))
                .list());
  }

  static DeliveryStatus deliveryStatus(Columns columns) throws SQLException {
    ResultSet row = columns.row();
    return new DeliveryStatus(
        row.getString("handler"),
        row.getInt("generation"),
        DeliveryState.of(row.getString("state")),
        row.getInt("attempts"),
        columns.moment("run_at"),
        columns.moment("finished_at"),
        columns.optional("reason"),
        columns.optional("error"));
  }

  List<AuditEntry> audit(String eventId) {
    return database.ask(
        "audit",
        handle ->
            handle
                .createQuery("select * from cortex.audit_of(:eventId)")
                .bind("eventId", eventId)
                .map((row, context) -> auditEntry(new Columns(row)))
                .list());
  }

  private static AuditEntry auditEntry(Columns columns) throws SQLException {
    ResultSet row = columns.row();
    return new AuditEntry(
        row.getString("event_id"),
        columns.optional("type"),
        row.getString("handler"),
        row.getInt("generation"),
        row.getInt("attempt"),
        row.getString("outcome"),
        columns.optional("reason"),
        columns.optional("error"),
        columns.optional("worker"),
        columns.certainMoment("started_at"),
        columns.certainMoment("finished_at"));
  }

  List<TracedEvent> trace(String id) {
    return database.ask(
        "trace",
        handle ->
            handle
                .createQuery("select * from cortex.trace(:id)")
                .bind("id", id)
                .map((row, context) -> tracedEvent(new Columns(row)))
                .list());
  }

  private static TracedEvent tracedEvent(Columns columns) throws SQLException {
    ResultSet row = columns.row();
    return new TracedEvent(
        row.getInt("depth"),
        row.getString("event_id"),
        row.getString("type"),
        row.getString("source"),
        columns.certainMoment("occurred_at"),
        columns.optional("causation_id"),
        columns.optional("correlation_id"),
        tracedDeliveries(row.getString("deliveries")));
  }

  private static List<TracedDelivery> tracedDeliveries(String json) {
    List<TracedDelivery> deliveries = new ArrayList<>();
    try {
      for (JsonNode delivery : MAPPER.readTree(json)) {
        deliveries.add(
            new TracedDelivery(
                delivery.path("handler").asText(),
                delivery.path("generation").asInt(),
                DeliveryState.of(delivery.path("state").asText()),
                delivery.path("attempts").asInt()));
      }
    } catch (JsonProcessingException e) {
      throw new IllegalStateException("cortex.trace returned deliveries that are no JSON", e);
    }
    return deliveries;
  }

  List<OperatorAction> actions(int limit) {
    checkLimit(limit);
    return database.ask(
        "operators' log",
        handle ->
            handle
                .createQuery(
                    """
                    select a.id, a.acted_at, a.database_user, a.action, a.subject, a.reason,
                           a.before, a.after
                      from cortex.operator_actions a
                     order by a.id desc
                     limit :limit
                    """)
                .bind("limit", limit)
                .map((row, context) -> action(new Columns(row)))
                .list());
  }

  private static OperatorAction action(Columns columns) throws SQLException {
    ResultSet row = columns.row();
    return new OperatorAction(
        row.getLong("id"),
        columns.certainMoment("acted_at"),
        row.getString("database_user"),
        row.getString("action"),
        Json.stored(row.getString("subject")),
        row.getString("reason"),
        columns.optional("before"),
        columns.optional("after"));
  }

  static void checkLimit(int limit) {
    if (limit < 1 || limit > Operations.MAX_ROWS) {
      throw new OperationRefusedException(
          ErrorCode.INVALID_DATA, "limit", "must be 1 to 10,000", Integer.toString(limit));
    }
  }
}
