package dev.cortex.events.operate;

import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.List;
import java.util.OptionalInt;
import org.jdbi.v3.core.Handle;

/** The life of a handler: what it missed, its name, and its end. */
final class HandlerVerbs {
  /** Cancelled per transaction while a handler is discarded. */
  private static final int STEP = 1_000;

  /** Bounds a call. What is left is the workers'. */
  private static final int MAX_STEPS = 10_000;

  /** Steps without a cancelled delivery, after which the rest is left to the workers. */
  private static final int MAX_IDLE_STEPS = 3;

  private final OperationsDatabase database;

  HandlerVerbs(OperationsDatabase database) {
    this.database = database;
  }

  int backfill(String handler, BackfillRequest request, String reason) {
    return database.ask(
        "backfill",
        handle ->
            handle
                .createQuery(
                    """
                    select cortex.backfill(
                             :handler, :reason, coalesce(:since::timestamptz, '-infinity'),
                             :until::timestamptz, :rate, :imported)
                    """)
                .bind("handler", handler)
                .bind("reason", reason)
                .bind("since", OperationsDatabase.sqlTime(request.since()))
                .bind("until", OperationsDatabase.sqlTime(request.until()))
                .bind("rate", request.rate())
                .bind("imported", request.imported())
                .mapTo(Integer.class)
                .one());
  }

  int cancelBackfill(String handler, String reason) {
    return database.ask(
        "cancel the back-fill",
        handle ->
            handle
                .createQuery("select cortex.cancel_backfill(:handler, :reason)")
                .bind("handler", handler)
                .bind("reason", reason)
                .mapTo(Integer.class)
                .one());
  }

  List<Backfill> backfills(int limit) {
    OperatorQuestions.checkLimit(limit);
    return database.ask(
        "back-fills",
        handle ->
            handle
                .createQuery(
                    "select * from cortex.backfill_status b order by b.backfill_id desc limit :limit")
                .bind("limit", limit)
                .map((row, context) -> backfill(new Columns(row)))
                .list());
  }

  private static Backfill backfill(Columns columns) throws SQLException {
    ResultSet row = columns.row();
    return new Backfill(
        row.getInt("backfill_id"),
        row.getString("handler"),
        row.getString("state"),
        columns.moment("since"),
        columns.moment("until"),
        columns.moment("reached_at"),
        row.getInt("rate"),
        row.getLong("made"),
        columns.certainMoment("requested_at"),
        row.getString("requested_by"),
        columns.moment("ended_at"));
  }

  void limit(String handler, OptionalInt maxRunning, String reason) {
    database.ask(
        "limit",
        handle ->
            handle
                .createQuery("select cortex.limit_handler(:handler, :maxRunning, :reason)")
                .bind("handler", handler)
                .bind("maxRunning", maxRunning)
                .bind("reason", reason)
                .map((row, context) -> 1)
                .one());
  }

  void forgetLimit(String handler, String reason) {
    database.ask(
        "limit", handle -> call(handle, "select cortex.forget_limit(?, ?)", handler, reason));
  }

  void rename(String handler, String newName, String reason) {
    database.ask(
        "rename",
        handle -> call(handle, "select cortex.rename_handler(?, ?, ?)", handler, newName, reason));
  }

  void reinstate(String handler, String reason) {
    database.ask(
        "reinstate",
        handle -> call(handle, "select cortex.reinstate_handler(?, ?)", handler, reason));
  }

  RetirementProgress retire(String handler, Retirement how, String reason) {
    database.ask(
        "retire",
        handle ->
            call(handle, "select cortex.retire_handler(?, ?, ?)", handler, how.label(), reason));
    long cancelled = 0;
    boolean isRetired = false;
    int idle = 0;
    for (int step = 0; !isRetired && idle < MAX_IDLE_STEPS && step < MAX_STEPS; step++) {
      RetirementProgress next = database.ask("retire", handle -> step(handle, handler));
      cancelled += next.cancelled();
      isRetired = next.isRetired();
      idle = next.cancelled() == 0 ? idle + 1 : 0;
    }
    return new RetirementProgress(cancelled, isRetired);
  }

  /** Empty of rows once a worker has retired it meanwhile. */
  private static RetirementProgress step(Handle handle, String handler) {
    return handle
        .createQuery(
            """
            select s.cancelled, s.retired
              from cortex.step_retirements(:step) s
             where s.handler = :handler
            """)
        .bind("step", STEP)
        .bind("handler", handler)
        .map((row, context) -> new RetirementProgress(row.getLong(1), row.getBoolean(2)))
        .findOne()
        .orElse(new RetirementProgress(0, true));
  }

  private static int call(Handle handle, String call, String... arguments) {
    var query = handle.createQuery(call);
    for (int i = 0; i < arguments.length; i++) {
      query.bind(i, arguments[i]);
    }
    return query.map((row, context) -> 1).one();
  }
}
