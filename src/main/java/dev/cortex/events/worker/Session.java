package dev.cortex.events.worker;

import dev.cortex.events.delivery.Delivery;
import dev.cortex.events.delivery.SessionState;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.ConcurrentHashMap;

/**
 * A connection that handlers are let onto, for one turn of a slot, and what others have to say to
 * them meanwhile. Of the slot's thread, {@link #cancel}, {@link #isLost}, {@link #abort} and {@link
 * #giveUp} aside.
 */
final class Session implements AutoCloseable {
  private record Key(long number, short generation) {
    static Key of(Delivery delivery) {
      return new Key(delivery.number(), delivery.generation());
    }
  }

  private final Connection connection;
  private final Sessions sessions;
  private final SessionState state;
  private final Map<Key, String> cancelled = new ConcurrentHashMap<>();
  private volatile boolean isAborted;
  private boolean isSuspect;
  private boolean hasOwnSetting;
  private boolean isSpoiled;

  Session(Connection connection, Sessions sessions, SessionState state) {
    this.connection = connection;
    this.sessions = sessions;
    this.state = state;
  }

  Connection connection() {
    return connection;
  }

  /** What the session was like when it was new, and has to be like again. */
  SessionState state() {
    return state;
  }

  /** What it is like now, within its transaction. */
  SessionState stateNow() throws SQLException {
    return sessions.stateOf(this);
  }

  /** The handler has made a statement that may leave something behind. */
  void suspect(SessionHint hint) {
    isSuspect = true;
    hasOwnSetting |= hint == SessionHint.OWN_SETTING;
  }

  /** Whether it may have a setting of the handler's own, which no look would find. */
  boolean hasOwnSetting() {
    return hasOwnSetting;
  }

  boolean isSuspect() {
    return isSuspect;
  }

  /** Between two transactions: whether the handler has left something behind. */
  void look(String handler, boolean isChanged) throws SQLException {
    sessions.look(this, handler, isSuspect || isChanged);
    isSuspect = false;
    hasOwnSetting = false;
  }

  /** Another connection, where this one is not to be trusted. */
  Session another() throws SQLException {
    return sessions.open();
  }

  /** Nobody else gets this connection. */
  void spoil() {
    isSpoiled = true;
  }

  boolean isSpoiled() {
    return isSpoiled;
  }

  /** An operator wants this delivery cancelled while it runs. */
  void cancel(Delivery delivery, String reason) {
    cancelled.put(Key.of(delivery), reason);
  }

  /** Why the delivery is to end cancelled, if it is. */
  Optional<String> cancelled(Delivery delivery) {
    return Optional.ofNullable(cancelled.get(Key.of(delivery)));
  }

  boolean isAnyCancelled(List<Delivery> deliveries) {
    return !cancelled.isEmpty()
        && deliveries.stream().anyMatch(delivery -> cancelled(delivery).isPresent());
  }

  /** Whether what a handler does for the delivery cannot count any more. */
  boolean isLost(Delivery delivery) {
    return isAborted || cancelled(delivery).isPresent();
  }

  boolean isAborted() {
    return isAborted;
  }

  /** Cuts the connection: the server rolls back, and what was held is free. */
  void abort() {
    isAborted = true;
    cut();
  }

  /** The same, for a thread that does not come back and will never close it. */
  void giveUp() {
    abort();
    closeCut();
  }

  private void cut() {
    try {
      connection.abort(Runnable::run);
    } catch (SQLException e) {
      // It is gone already, and what it held is free.
    }
  }

  @Override
  public void close() throws SQLException {
    if (isSpoiled) {
      cut();
      closeCut();
      return;
    }
    connection.close();
  }

  /** Its place in the pool is free again, whatever the pool says of it. */
  private void closeCut() {
    try {
      connection.close();
    } catch (SQLException e) {
      // It was cut, which is what it complains of.
    }
  }
}
