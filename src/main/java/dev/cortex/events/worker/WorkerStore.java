package dev.cortex.events.worker;

import dev.cortex.events.delivery.Delivery;
import dev.cortex.events.event.Json;
import dev.cortex.events.handler.HandlerDefinition;
import dev.cortex.events.handler.Order;
import java.sql.Array;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Types;
import java.time.ZoneOffset;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;

/** Every statement on workers and slots, and the registration of handlers. Stateless. */
final class WorkerStore {

  /** A row for this start of the process. */
  private static final String ENTER =
      "insert into cortex.workers (name, version, handlers, java_code) values (?, ?, ?, ?) returning worker_id";

  /**
   * Holds, for the session, the lock by which the others see that this worker lives. Only tried:
   * after a cut of the network the lock may still be that of its own session before, which the
   * server has yet to miss.
   */
  private static final String PROVE_LIFE =
      "select pg_try_advisory_lock(cortex.worker_lock_class(), ?)";

  /** The session was lost and is back: whoever found the lock free has been too quick. */
  private static final String RETURN =
      """
      update cortex.workers
         set stopped_at = null, vanished = false, returned_at = clock_timestamp()
       where worker_id = ?
         and (stopped_at is not null or ?)
      """;

  /** The session is to be somebody else's: no locks, no notifications. */
  private static final String FORGET = "select pg_advisory_unlock_all()";

  private static final String LEAVE =
      """
      with left_slots as (
        delete from cortex.slots where worker_id = ?
      )
      update cortex.workers
         set stopped_at = clock_timestamp()
       where worker_id = ?
      """;

  private static final String SAY_WHETHER_POLLING =
      """
      update cortex.workers
         set polls = ?
       where worker_id = ?
         and polls <> ?
      """;

  /**
   * Shows what a slot runs; a slot runs one batch at a time. It is to outlive the worker, not the
   * server, and so need not wait for the disk. Not while the worker is taken for dead: what it
   * shows then would be held against its events each time.
   */
  private static final String SHOW_SLOT =
      """
      insert into cortex.slots (worker_id, slot, handler_id, events, started_at, pid)
      select w.worker_id, ?, ?, ?, ?, ?
        from cortex.workers w
       cross join set_config('synchronous_commit', 'off', true)
       where w.worker_id = ?
         and w.stopped_at is null
          on conflict (worker_id, slot) do update
         set (handler_id, events, started_at, pid)
             = (excluded.handler_id, excluded.events, excluded.started_at, excluded.pid)
      """;

  private static final String CLEAR_SLOT =
      "delete from cortex.slots where worker_id = ? and slot = ?";

  private static final String CLEAR_OTHER_SLOTS =
      "delete from cortex.slots where worker_id = ? and slot <> ?";

  private static final String SUSPECTS =
      """
      select event, deaths
        from cortex.suspects
       where handler_id = ?
         and event = any (?)
       order by event
      """;

  private static final String ACQUIT =
      """
      update cortex.suspects
         set deaths = 0
       where handler_id = ?
         and event = ?
      """;

  private static final String REGISTER_HANDLER =
      "select cortex.register_handler(?, ?, ?::smallint, ? * interval '1 millisecond', ?)";

  /** Brings the order of a handler in line with its declaration, or refuses. */
  private static final String ORDER_HANDLER =
      "select cortex.order_handler(?, ?::smallint, ?, ?::jsonb)";

  private static final String UNMATCHED_PATTERNS =
      "select pattern from cortex.unmatched_patterns(?::smallint) pattern";

  private static final String LIMIT_RUNNING = "select cortex.limit_running(?, ?)";

  /**
   * Makes this start of the process known, with the handlers that it runs; the row and the lock
   * become visible together.
   */
  int enter(Connection session, WorkerOptions options, String version, Collection<Short> handlers)
      throws SQLException {
    session.setAutoCommit(false);
    try (PreparedStatement statement = session.prepareStatement(ENTER)) {
      statement.setString(1, options.name());
      statement.setString(2, version);
      statement.setArray(3, session.createArrayOf("smallint", handlers.toArray(Short[]::new)));
      statement.setArray(4, javaCode(session, options));
      int workerId;
      try (ResultSet row = statement.executeQuery()) {
        row.next();
        workerId = row.getInt(1);
      }
      proveLife(session, workerId);
      session.commit();
      return workerId;
    } finally {
      session.setAutoCommit(true);
    }
  }

  private static @Nullable Array javaCode(Connection session, WorkerOptions options)
      throws SQLException {
    return options.javaCode().isEmpty()
        ? null
        : session.createArrayOf("text", options.javaCode().get().toArray());
  }

  /**
   * Proves life on this session.
   *
   * @param wasLost whether the session before was lost, so that this is a return
   * @return false while somebody else has the lock of its life: to be tried again; as long as the
   *     lock is held, nobody takes this worker for dead
   */
  boolean comeBack(Connection session, int workerId, boolean wasLost) throws SQLException {
    if (!proveLife(session, workerId)) {
      return false;
    }
    try (PreparedStatement statement = session.prepareStatement(RETURN)) {
      statement.setInt(1, workerId);
      statement.setBoolean(2, wasLost);
      statement.executeUpdate();
    }
    return true;
  }

  /** Says for everybody whether notifications reach this worker. */
  void sayWhetherPolling(Connection autoCommit, int workerId, boolean polls) throws SQLException {
    try (PreparedStatement statement = autoCommit.prepareStatement(SAY_WHETHER_POLLING)) {
      statement.setBoolean(1, polls);
      statement.setInt(2, workerId);
      statement.setBoolean(3, polls);
      statement.executeUpdate();
    }
  }

  private static boolean proveLife(Connection session, int workerId) throws SQLException {
    try (PreparedStatement statement = session.prepareStatement(PROVE_LIFE)) {
      statement.setInt(1, workerId);
      try (ResultSet answer = statement.executeQuery()) {
        return answer.next() && answer.getBoolean(1);
      }
    }
  }

  /** Rids a session in auto-commit of its locks and stops its listening. */
  void forget(Connection session) throws SQLException {
    try (Statement statement = session.createStatement()) {
      statement.execute(FORGET);
      statement.execute("unlisten *");
    }
  }

  void leave(Connection connection, int workerId) throws SQLException {
    update(connection, LEAVE, workerId, workerId);
  }

  /** Those of the deliveries that a process may have died of, and how often it did. */
  Map<Delivery, Integer> suspects(Connection transaction, List<Delivery> deliveries)
      throws SQLException {
    Map<Long, Delivery> byNumber = new HashMap<>();
    deliveries.forEach(delivery -> byNumber.put(delivery.number(), delivery));
    try (PreparedStatement statement = transaction.prepareStatement(SUSPECTS)) {
      statement.setShort(1, deliveries.get(0).handlerId());
      statement.setArray(
          2, transaction.createArrayOf("bigint", byNumber.keySet().toArray(new Long[0])));
      Map<Delivery, Integer> suspects = new LinkedHashMap<>();
      try (ResultSet rows = statement.executeQuery()) {
        while (rows.next()) {
          suspects.put(byNumber.get(rows.getLong(1)), rows.getInt(2));
        }
      }
      return suspects;
    }
  }

  /** The delivery was charged for the deaths that it is suspected of; it stays suspected. */
  void acquit(Connection transaction, Delivery delivery) throws SQLException {
    try (PreparedStatement statement = transaction.prepareStatement(ACQUIT)) {
      statement.setShort(1, delivery.handlerId());
      statement.setLong(2, delivery.number());
      statement.executeUpdate();
    }
  }

  /**
   * Shows in auto-commit what a slot runs, or that it runs nothing.
   *
   * @return false while the worker is taken for dead and may show nothing
   */
  boolean showSlot(Connection connection, int workerId, short slot, Optional<Slot.Running> running)
      throws SQLException {
    if (running.isPresent()) {
      return showSlot(connection, workerId, slot, running.get());
    }
    update(connection, CLEAR_SLOT, workerId, slot);
    return true;
  }

  /** What other slots have run; they run nothing now. */
  void clearOtherSlots(Connection connection, int workerId, short slot) throws SQLException {
    update(connection, CLEAR_OTHER_SLOTS, workerId, slot);
  }

  private static boolean showSlot(
      Connection connection, int workerId, short slot, Slot.Running running) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(SHOW_SLOT)) {
      statement.setShort(1, slot);
      statement.setShort(2, running.queue().handlerId());
      statement.setArray(
          3, connection.createArrayOf("bigint", running.numbers().toArray(new Long[0])));
      statement.setObject(4, running.startedAt().atOffset(ZoneOffset.UTC));
      statement.setObject(5, running.pid().orElse(null), Types.INTEGER);
      statement.setInt(6, workerId);
      return statement.executeUpdate() > 0;
    }
  }

  private static void update(Connection connection, String sql, int... parameters)
      throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(sql)) {
      for (int i = 0; i < parameters.length; i++) {
        statement.setInt(i + 1, parameters[i]);
      }
      statement.executeUpdate();
    }
  }

  /** A handler as the database knows it now; 0 lanes: unordered. */
  record Registered(short handlerId, int lanes) {}

  /**
   * Makes a handler, its subscriptions and its order known together, on a session in auto-commit.
   */
  Registered register(Connection session, HandlerDefinition handler) throws SQLException {
    session.setAutoCommit(false);
    try {
      short handlerId = registerHandler(session, handler);
      Registered registered =
          new Registered(handlerId, orderHandler(session, handlerId, handler.order()));
      session.commit();
      return registered;
    } catch (SQLException e) {
      session.rollback();
      throw e;
    } finally {
      session.setAutoCommit(true);
    }
  }

  private static int orderHandler(Connection connection, short handlerId, Optional<Order> order)
      throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(ORDER_HANDLER)) {
      statement.setShort(1, handlerId);
      statement.setInt(2, order.map(Order::lanes).orElse(0));
      statement.setString(
          3,
          order.map(Order::whenDead).orElse(Order.WhenDead.HOLD).name().toLowerCase(Locale.ROOT));
      statement.setString(4, Json.of(order.map(Order::keyPaths).orElse(Map.of())).text());
      try (ResultSet row = statement.executeQuery()) {
        row.next();
        return row.getInt(1);
      }
    }
  }

  private short registerHandler(Connection connection, HandlerDefinition handler)
      throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(REGISTER_HANDLER)) {
      statement.setString(1, handler.name());
      statement.setString(2, handler.work().mode());
      statement.setInt(3, handler.retry().maxAttempts());
      statement.setLong(4, handler.timeBudget().toMillis());
      statement.setArray(5, connection.createArrayOf("text", handler.patterns().toArray()));
      try (ResultSet row = statement.executeQuery()) {
        row.next();
        short handlerId = row.getShort(1);
        limitRunning(connection, handlerId, handler.maxRunning());
        return handlerId;
      }
    }
  }

  private static void limitRunning(Connection connection, short handlerId, OptionalInt maxRunning)
      throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(LIMIT_RUNNING)) {
      statement.setShort(1, handlerId);
      statement.setObject(
          2, maxRunning.isPresent() ? (short) maxRunning.getAsInt() : null, Types.SMALLINT);
      statement.execute();
    }
  }

  /** The patterns of a handler that no known type matches. */
  List<String> unmatchedPatterns(Connection connection, short handlerId) throws SQLException {
    try (PreparedStatement statement = connection.prepareStatement(UNMATCHED_PATTERNS)) {
      statement.setShort(1, handlerId);
      List<String> patterns = new ArrayList<>();
      try (ResultSet rows = statement.executeQuery()) {
        while (rows.next()) {
          patterns.add(rows.getString(1));
        }
      }
      return patterns;
    }
  }
}
