package dev.cortex.events.delivery;

import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import org.postgresql.PGConnection;
import org.postgresql.PGNotification;

/**
 * The wake-up protocol: an emitter pays for a NOTIFY, which takes a database-wide lock at its
 * commit, only while a worker sleeps.
 *
 * <p>K is one advisory lock ({@code cortex.wake_key()}). Every transaction that makes deliveries
 * tries to take it shared, and notifies when it fails. A worker that has nothing to do tries to
 * take it exclusively:
 *
 * <ul>
 *   <li>Granted: every emitter that did not notify has committed, since a commit is visible before
 *       its locks are released; whoever emits from now on notifies. The worker looks once more,
 *       from the beginning of its queues, and only then sleeps.
 *   <li>Refused, and shared is granted: emitters are in flight. It polls on.
 *   <li>Refused, and shared too: somebody sleeps and holds K, so every emitter notifies. The worker
 *       looks once more <em>after</em> having seen that, and may sleep too. Whoever gives K back
 *       tells those who sleep beside it, and one of them takes it.
 * </ul>
 *
 * <p>K is only ever tried. A waiting exclusive request would make every emitter's shared try fail.
 *
 * <p>The connection must be a session of its own, in auto-commit, not behind a pooler that shares
 * sessions. Confined to the thread that owns the connection.
 */
public final class WakeUp {

  /** The channel of every notification; the payload names handlers by number, or none for all. */
  public static final String CHANNEL = "cortex_wake";

  private static final String HANDOVER = "handover";

  /** How a worker without work may rest. */
  public enum Rest {
    /** It holds K: emitters notify. */
    HOLDING,
    /** Another worker holds K: emitters notify too. */
    BESIDE,
    /** Emitters are in flight that will not notify. */
    POLLING
  }

  /**
   * What a notification says.
   *
   * @param handlerIds the handlers that got work; empty for all of them
   * @param isHandover whether it only says that K is free
   */
  public record Signal(List<Short> handlerIds, boolean isHandover) {
    public Signal {
      handlerIds = List.copyOf(handlerIds);
    }
  }

  private final Connection session;
  private final int ownPid;

  private WakeUp(Connection session, int ownPid) {
    this.session = session;
    this.ownPid = ownPid;
  }

  /** Starts to listen on a session in auto-commit. */
  public static WakeUp listen(Connection session) throws SQLException {
    try (Statement statement = session.createStatement()) {
      statement.execute("listen " + CHANNEL);
    }
    return new WakeUp(session, session.unwrap(PGConnection.class).getBackendPID());
  }

  /**
   * Whether a notification that this session sends arrives here again: false behind a pooler that
   * shares sessions, where only polling works.
   */
  public boolean hearsItself(Duration patience) throws SQLException {
    try (Statement statement = session.createStatement()) {
      statement.execute("select pg_notify('" + CHANNEL + "', '" + HANDOVER + "')");
    }
    return notifications(patience).length > 0;
  }

  /** Tries to rest. After HOLDING or BESIDE the caller must look for work once more. */
  public Rest tryToRest() throws SQLException {
    if (ask("select pg_try_advisory_lock(cortex.wake_key())")) {
      return Rest.HOLDING;
    }
    if (ask("select pg_try_advisory_lock_shared(cortex.wake_key())")) {
      ask("select pg_advisory_unlock_shared(cortex.wake_key())");
      return Rest.POLLING;
    }
    return Rest.BESIDE;
  }

  /** Waits for signals of others; returns none when the time is up. */
  public List<Signal> await(Duration patience) throws SQLException {
    List<Signal> signals = new ArrayList<>();
    for (PGNotification notification : notifications(patience)) {
      if (notification.getPID() != ownPid) {
        signals.add(toSignal(notification.getParameter()));
      }
    }
    return signals;
  }

  private PGNotification[] notifications(Duration patience) throws SQLException {
    // Zero would wait for ever.
    int millis = Math.toIntExact(Math.max(1, patience.toMillis()));
    PGNotification[] notifications = session.unwrap(PGConnection.class).getNotifications(millis);
    return notifications == null ? new PGNotification[0] : notifications;
  }

  private static Signal toSignal(String payload) {
    if (payload.equals(HANDOVER)) {
      return new Signal(List.of(), true);
    }
    List<Short> ids = new ArrayList<>();
    for (String id : payload.split(",", -1)) {
      if (!id.matches("[0-9]{1,5}") || Integer.parseInt(id) > Short.MAX_VALUE) {
        // Anybody may notify, and anything: to look into every queue is never wrong.
        return new Signal(List.of(), false);
      }
      ids.add(Short.valueOf(id));
    }
    return new Signal(ids, false);
  }

  /** Gives K back and tells those who sleep beside it, in this order. */
  public void giveBack() throws SQLException {
    ask("select pg_advisory_unlock(cortex.wake_key())");
    try (Statement statement = session.createStatement()) {
      statement.execute("select pg_notify('" + CHANNEL + "', '" + HANDOVER + "')");
    }
  }

  private boolean ask(String question) throws SQLException {
    try (PreparedStatement statement = session.prepareStatement(question);
        ResultSet answer = statement.executeQuery()) {
      return answer.next() && answer.getBoolean(1);
    }
  }
}
