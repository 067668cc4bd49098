package dev.cortex.events.worker;

import com.google.errorprone.annotations.concurrent.GuardedBy;
import dev.cortex.events.delivery.SessionState;
import dev.cortex.events.delivery.SessionStore;
import dev.cortex.events.telemetry.EngineEvent;
import dev.cortex.events.telemetry.Telemetry;
import java.sql.Connection;
import java.sql.SQLException;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.WeakHashMap;
import java.util.concurrent.locks.ReentrantLock;
import javax.sql.DataSource;
import org.postgresql.PGConnection;

/**
 * Where the connections come from that handlers are let onto, and who knows what each of them was
 * like when it was new. A connection that is not like that any more is closed, not given back.
 * Thread-safe.
 */
final class Sessions {
  /** How often a connection is asked for what was left behind in it, at most. */
  private static final Duration LOOK_INTERVAL = Duration.ofSeconds(1);

  /** A connection when it was new. */
  private static final class Known {
    final SessionState state;
    final Set<String> leftovers;
    volatile long lookedAt = System.nanoTime() - LOOK_INTERVAL.toNanos();

    Known(SessionState state, Set<String> leftovers) {
      this.state = state;
      this.leftovers = leftovers;
    }
  }

  private final DataSource pool;
  private final Telemetry telemetry;
  private final SessionStore store = new SessionStore();
  private final ReentrantLock lock = new ReentrantLock();

  @GuardedBy("lock")
  private final Map<Object, Known> known = new WeakHashMap<>();

  Sessions(DataSource pool, Telemetry telemetry) {
    this.pool = pool;
    this.telemetry = telemetry;
  }

  /** A connection with no transaction open, to be closed by the caller. */
  Session open() throws SQLException {
    Connection connection = pool.getConnection();
    try {
      connection.setAutoCommit(false);
      return new Session(connection, this, known(connection).state);
    } catch (SQLException | RuntimeException e) {
      connection.close();
      throw e;
    }
  }

  private Known known(Connection connection) throws SQLException {
    Object server =
        connection.isWrapperFor(PGConnection.class)
            ? connection.unwrap(PGConnection.class)
            : connection;
    lock.lock();
    try {
      Known before = known.get(server);
      if (before != null) {
        return before;
      }
    } finally {
      lock.unlock();
    }
    Known now = new Known(store.state(connection), store.leftovers(connection));
    connection.rollback();
    lock.lock();
    try {
      known.put(server, now);
    } finally {
      lock.unlock();
    }
    return now;
  }

  /** What the session is like now, within its transaction. */
  SessionState stateOf(Session session) throws SQLException {
    return store.state(session.connection());
  }

  /**
   * Looks, between two transactions, whether a handler has left anything behind; if it has, the
   * connection is of no more use. What was committed by then stays.
   *
   * @param isSuspect whether to look now, however short a time ago the last look was
   */
  void look(Session session, String handler, boolean isSuspect) throws SQLException {
    Connection connection = session.connection();
    Known before = known(connection);
    long now = System.nanoTime();
    if (!isSuspect && now - before.lookedAt < LOOK_INTERVAL.toNanos()) {
      return;
    }
    before.lookedAt = now;
    try {
      Set<String> changes = new TreeSet<>(store.leftovers(connection));
      changes.removeAll(before.leftovers);
      if (!store.state(connection).equals(before.state)) {
        changes.add("setting of the session");
      }
      connection.rollback();
      if (session.hasOwnSetting()) {
        changes.add("setting of the handler's own");
      }
      if (!changes.isEmpty()) {
        session.spoil();
        telemetry.record(new EngineEvent.SessionChanged(handler, List.copyOf(changes)));
      }
    } catch (SQLException e) {
      // A session that does not say what it is like is not as it was.
      session.spoil();
    }
  }
}
