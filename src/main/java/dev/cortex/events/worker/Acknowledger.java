package dev.cortex.events.worker;

import dev.cortex.events.delivery.Delivery;
import dev.cortex.events.delivery.DeliveryStore;
import dev.cortex.events.delivery.SessionState;
import java.sql.SQLException;
import java.util.List;

/**
 * Acknowledges and commits what a handler is done with, unless the transaction or the session is
 * not what it was before. Stateless.
 */
final class Acknowledger {
  /** How it went; but for the first, the caller rolls back. */
  enum Result {
    COMMITTED,
    /** Not the transaction any more that locked the deliveries. */
    TRANSACTION_ENDED,
    /** Not the role, the search path or the mode any more that the engine works with. */
    SESSION_CHANGED
  }

  private final DeliveryStore store;
  private final int workerId;

  Acknowledger(DeliveryStore store, int workerId) {
    this.store = store;
    this.workerId = workerId;
  }

  /**
   * @param deliveries at least one, all of them locked by the open transaction
   */
  Result acknowledge(Session session, HandlerQueue queue, List<Delivery> deliveries)
      throws SQLException {
    try {
      if (isAcknowledged(session, deliveries, session.state())) {
        session.connection().commit();
        session.look(queue.name(), false);
        return Result.COMMITTED;
      }
      SessionState now = session.stateNow();
      if (!now.identity().equals(session.state().identity())) {
        return Result.SESSION_CHANGED;
      } else if (!now.equals(session.state()) && isAcknowledged(session, deliveries, now)) {
        session.connection().commit();
        session.look(queue.name(), true);
        return Result.COMMITTED;
      }
      return Result.TRANSACTION_ENDED;
    } catch (SQLException e) {
      if (isOfAnotherSession(e)) {
        return Result.SESSION_CHANGED;
      }
      throw e;
    }
  }

  private boolean isAcknowledged(Session session, List<Delivery> deliveries, SessionState wanted)
      throws SQLException {
    return store.acknowledge(session.connection(), workerId, deliveries, wanted)
        == deliveries.size();
  }

  /**
   * insufficient_privilege, read_only_sql_transaction: of a statement that this session was able to
   * make before. Where they have another cause, what is recorded next meets with it again.
   */
  private static boolean isOfAnotherSession(SQLException error) {
    return "42501".equals(error.getSQLState()) || "25006".equals(error.getSQLState());
  }
}
