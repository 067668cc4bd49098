package dev.cortex.events.worker;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.SQLException;
import java.util.Set;
import org.jspecify.annotations.Nullable;

/**
 * The transaction's connection as a handler sees it: everything works but what would end or change
 * the transaction, which is the engine's, and nothing works any more once the handler has returned.
 * It keeps an author from slips, not from what they unwrap: there the engine notices, before it
 * commits, that its transaction is not the one that claimed.
 */
final class GuardedConnection implements InvocationHandler {
  private static final Set<String> REFUSED =
      Set.of(
          "commit",
          "close",
          "abort",
          "setAutoCommit",
          "setTransactionIsolation",
          "setReadOnly",
          "setNetworkTimeout",
          "beginRequest",
          "endRequest");

  /** active_sql_transaction: a state of its own for a caller's mistake with the transaction. */
  private static final String REFUSED_STATE = "25001";

  private final Connection connection;
  private final Connection guarded;
  private volatile boolean isRevoked;

  GuardedConnection(Connection connection) {
    this.connection = connection;
    this.guarded =
        (Connection)
            Proxy.newProxyInstance(
                GuardedConnection.class.getClassLoader(), new Class<?>[] {Connection.class}, this);
  }

  Connection connection() {
    return guarded;
  }

  /** From now on every call fails. */
  void revoke() {
    isRevoked = true;
  }

  @Override
  public @Nullable Object invoke(
      Object proxy, Method method, @Nullable Object @Nullable [] arguments) throws Throwable {
    if (isRevoked && method.getDeclaringClass() != Object.class) {
      throw new SQLException(
          "the handler has returned: its connection may not be used any more", REFUSED_STATE);
    }
    boolean isWholeRollback =
        method.getName().equals("rollback") && (arguments == null || arguments.length == 0);
    if (isWholeRollback || REFUSED.contains(method.getName())) {
      throw new SQLException(
          "the transaction belongs to the engine: a handler may not call " + method.getName(),
          REFUSED_STATE);
    }
    try {
      return method.invoke(connection, arguments);
    } catch (InvocationTargetException e) {
      throw e.getCause();
    }
  }
}
