package dev.cortex.events.worker;

import dev.cortex.events.delivery.Delivery;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;

/** Every statement on what workers look after from the side. Stateless. */
final class HouseStore {
  private static final String KEEP_HOUSE =
      "select vanished, is_cautious, is_moving, has_overruns, has_cancel_requests, has_backfills from cortex.keep_house(?)";

  /** One bounded step of every pause or resumption of a type that still moves deliveries. */
  private static final String MOVE_HELD =
      "select coalesce(bool_or(moved > 0 or not pass_ended), false) from cortex.move_held()";

  private static final String END_OVERRUNS = "select * from cortex.end_overruns()";

  private static final String SERVE_CANCEL_REQUESTS =
      "select handler_id, event, generation, reason from cortex.serve_cancel_requests()";

  private static final String BACKFILLS =
      """
      select h.name
        from cortex.backfills b
        join cortex.handlers h using (handler_id)
       where b.ended_at is null
       order by b.backfill_id
      """;

  /** One bounded step of the back-fill of a handler. */
  private static final String STEP_BACKFILL =
      "select coalesce(bool_or(has_more), false) from cortex.step_backfills(only_handler => ?)";

  /** One bounded step of every handler that is retiring. */
  private static final String STEP_RETIREMENTS =
      "select coalesce(bool_or(cancelled > 0), false) from cortex.step_retirements()";

  private static final String CREATE_PARTITIONS = "select cortex.create_partitions()";

  /**
   * What there is to do, and to know.
   *
   * @param vanished workers that ended without a goodbye; nobody else is told of them
   * @param isCautious whether a process has died of late
   * @param isMoving whether a pause or a resumption of a type still moves deliveries
   * @param hasOverruns whether something runs for more than twice its time budget
   * @param hasCancelRequests whether deliveries are to be cancelled that somebody ran
   * @param hasBackfills whether a back-fill or a retirement is under way
   */
  record Chores(
      List<Integer> vanished,
      boolean isCautious,
      boolean isMoving,
      boolean hasOverruns,
      boolean hasCancelRequests,
      boolean hasBackfills) {}

  /**
   * Buries workers that have vanished, and looks after everything else that is kept from the side.
   */
  Chores keepHouse(Connection autoCommit, int self) throws SQLException {
    try (PreparedStatement statement = autoCommit.prepareStatement(KEEP_HOUSE)) {
      statement.setInt(1, self);
      try (ResultSet row = statement.executeQuery()) {
        row.next();
        Integer[] vanished = (Integer[]) row.getArray(1).getArray();
        return new Chores(
            List.of(vanished),
            row.getBoolean(2),
            row.getBoolean(3),
            row.getBoolean(4),
            row.getBoolean(5),
            row.getBoolean(6));
      }
    }
  }

  /** Goes on with pauses and resumptions of types; true when it is worth to go on at once. */
  boolean moveHeld(Connection autoCommit) throws SQLException {
    try (PreparedStatement statement = autoCommit.prepareStatement(MOVE_HELD);
        ResultSet row = statement.executeQuery()) {
      row.next();
      return row.getBoolean(1);
    }
  }

  /** Ends what runs for more than twice its time budget, anywhere; and whose that was. */
  List<String> endOverruns(Connection autoCommit) throws SQLException {
    try (PreparedStatement statement = autoCommit.prepareStatement(END_OVERRUNS);
        ResultSet rows = statement.executeQuery()) {
      List<String> handlers = new ArrayList<>();
      while (rows.next()) {
        handlers.add(rows.getString(1));
      }
      return handlers;
    }
  }

  /** A delivery that somebody runs, to be cancelled. */
  record CancelRequest(short handlerId, long number, short generation, String reason) {
    boolean isFor(Delivery delivery) {
      return delivery.handlerId() == handlerId
          && delivery.number() == number
          && delivery.generation() == generation;
    }
  }

  /** Cancels what is to be and is free by now; the rest is for whoever runs it. */
  List<CancelRequest> serveCancelRequests(Connection autoCommit) throws SQLException {
    try (PreparedStatement statement = autoCommit.prepareStatement(SERVE_CANCEL_REQUESTS);
        ResultSet rows = statement.executeQuery()) {
      List<CancelRequest> requests = new ArrayList<>();
      while (rows.next()) {
        requests.add(
            new CancelRequest(
                rows.getShort(1), rows.getLong(2), rows.getShort(3), rows.getString(4)));
      }
      return requests;
    }
  }

  /** The handlers whose back-fills are under way, the oldest back-fill first. */
  List<String> backfills(Connection autoCommit) throws SQLException {
    try (PreparedStatement statement = autoCommit.prepareStatement(BACKFILLS);
        ResultSet rows = statement.executeQuery()) {
      List<String> handlers = new ArrayList<>();
      while (rows.next()) {
        handlers.add(rows.getString(1));
      }
      return handlers;
    }
  }

  /** Goes on with a handler's back-fill; true when it is worth to go on soon. */
  boolean stepBackfill(Connection autoCommit, String handler) throws SQLException {
    try (PreparedStatement statement = autoCommit.prepareStatement(STEP_BACKFILL)) {
      statement.setString(1, handler);
      try (ResultSet row = statement.executeQuery()) {
        row.next();
        return row.getBoolean(1);
      }
    }
  }

  /** Goes on with what is retiring; true when it is worth to go on soon. */
  boolean stepRetirements(Connection autoCommit) throws SQLException {
    try (PreparedStatement statement = autoCommit.prepareStatement(STEP_RETIREMENTS);
        ResultSet row = statement.executeQuery()) {
      row.next();
      return row.getBoolean(1);
    }
  }

  /** Makes the partitions of the coming months, and returns how many were missing. */
  int createPartitions(Connection connection) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(CREATE_PARTITIONS);
        ResultSet row = statement.executeQuery()) {
      row.next();
      return row.getInt(1);
    }
  }
}
