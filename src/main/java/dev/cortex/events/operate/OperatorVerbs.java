package dev.cortex.events.operate;

import java.util.List;
import java.util.Optional;
import org.jdbi.v3.core.Handle;

/** The verbs: each is a function of the database, which has the rules and keeps the record. */
final class OperatorVerbs {
  /** Looked at per transaction while a type is moved: some 20 ms of row locks. */
  private static final int STEP = 1_000;

  /** Bounds a call; a hundred million rows looked at. What is left is the workers' upkeep's. */
  private static final int MAX_STEPS = 100_000;

  /** Steps without a move, after which the rest is left to the workers' upkeep. */
  private static final int MAX_IDLE_STEPS = 3;

  private final OperationsDatabase database;

  OperatorVerbs(OperationsDatabase database) {
    this.database = database;
  }

  DeliveryState retry(String eventId, String handler, String reason) {
    return database.ask(
        "retry",
        handle ->
            handle
                .createQuery("select cortex.retry(:eventId, :handler, :reason)")
                .bind("eventId", eventId)
                .bind("handler", handler)
                .bind("reason", reason)
                .map((row, context) -> DeliveryState.of(row.getString(1)))
                .one());
  }

  int redrive(String handler, Optional<String> type, int maxDeliveries, String reason) {
    return database.ask(
        "redrive",
        handle ->
            handle
                .createQuery("select cortex.redrive(:handler, :reason, :type, :maxDeliveries)")
                .bind("handler", handler)
                .bind("reason", reason)
                .bind("type", type)
                .bind("maxDeliveries", maxDeliveries)
                .mapTo(Integer.class)
                .one());
  }

  List<Cancellation> cancel(String eventId, Optional<String> handler, String reason) {
    return database.ask(
        "cancel",
        handle ->
            handle
                .createQuery(
                    """
                    select delivery_to, generation, state
                      from cortex.cancel(:eventId, :reason, :handler)
                    """)
                .bind("eventId", eventId)
                .bind("reason", reason)
                .bind("handler", handler)
                .map(
                    (row, context) ->
                        new Cancellation(
                            row.getString("delivery_to"),
                            row.getInt("generation"),
                            DeliveryState.of(row.getString("state"))))
                .list());
  }

  String releaseKey(String handler, String key, String reason) {
    return database.ask(
        "release",
        handle ->
            handle
                .createQuery("select cortex.release_key(:handler, :key, :reason)")
                .bind("handler", handler)
                .bind("key", key)
                .bind("reason", reason)
                .mapTo(String.class)
                .one());
  }

  void pauseHandler(String handler, String reason) {
    database.ask(
        "pause",
        handle -> callOnHandler(handle, "select cortex.pause_handler(?, ?)", handler, reason));
  }

  void resumeHandler(String handler, String reason) {
    database.ask(
        "resume",
        handle -> callOnHandler(handle, "select cortex.resume_handler(?, ?)", handler, reason));
  }

  private static int callOnHandler(Handle handle, String call, String handler, String reason) {
    return handle.createQuery(call).bind(0, handler).bind(1, reason).map((r, c) -> 1).one();
  }

  void implement(String handler, String implementation, String reason) {
    database.ask(
        "implement",
        handle ->
            handle
                .createQuery("select cortex.implement(?, ?, ?)")
                .bind(0, handler)
                .bind(1, implementation)
                .bind(2, reason)
                .map((row, context) -> 1)
                .one());
  }

  TypeMove pauseType(String type, String reason) {
    return move("pause", "select * from cortex.pause_type(?, ?, ?)", type, reason);
  }

  TypeMove resumeType(String type, String reason) {
    return move("resume", "select * from cortex.resume_type(?, ?, ?)", type, reason);
  }

  private TypeMove move(String operation, String call, String type, String reason) {
    TypeMove first =
        database.ask(
            operation,
            handle ->
                handle
                    .createQuery(call)
                    .bind(0, type)
                    .bind(1, reason)
                    .bind(2, STEP)
                    .map((row, c) -> new TypeMove(row.getLong(1), row.getBoolean(2)))
                    .one());
    long moved = first.moved();
    boolean settled = first.settled();
    int idle = 0;
    for (int step = 1; !settled && idle < MAX_IDLE_STEPS && step < MAX_STEPS; step++) {
      Step next = database.ask(operation, handle -> step(handle, type));
      moved += next.moved();
      settled = next.settled();
      idle = next.passEnded() && next.moved() == 0 ? idle + 1 : 0;
    }
    return new TypeMove(moved, settled);
  }

  private record Step(long moved, boolean settled, boolean passEnded) {}

  /** Empty of rows once every type is settled. */
  private static Step step(Handle handle, String type) {
    List<Step> steps =
        handle
            .createQuery(
                """
                select m.moved, m.settled, m.pass_ended
                  from cortex.move_held(:step) m
                 where m.type = coalesce(
                         (select t.alias_of from cortex.event_types t where t.type = :type), :type)
                """)
            .bind("step", STEP)
            .bind("type", type)
            .map((row, c) -> new Step(row.getLong(1), row.getBoolean(2), row.getBoolean(3)))
            .list();
    return steps.isEmpty() ? new Step(0, true, true) : steps.get(0);
  }
}
