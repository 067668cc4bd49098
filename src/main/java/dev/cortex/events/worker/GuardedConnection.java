package dev.cortex.events.worker;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Set;
import java.util.function.Consumer;
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
          "setSchema",
          "setNetworkTimeout",
          "beginRequest",
          "endRequest");

  /** active_sql_transaction: a state of its own for a caller's mistake with the transaction. */
  private static final String REFUSED_STATE = "25001";

  private final Connection connection;
  private final Connection guarded;
  private final Consumer<SessionHint> whenSuspect;
  private volatile boolean isRevoked;

  /**
   * @param whenSuspect told of a statement that may leave something behind in the session
   */
  GuardedConnection(Connection connection, Consumer<SessionHint> whenSuspect) {
    this.connection = connection;
    this.whenSuspect = whenSuspect;
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
    if (method.getDeclaringClass() != Object.class) {
      checkUse();
    }
    boolean isWholeRollback =
        method.getName().equals("rollback") && (arguments == null || arguments.length == 0);
    if (isWholeRollback || REFUSED.contains(method.getName())) {
      throw new SQLException(
          "the transaction belongs to the engine: a handler may not call " + method.getName(),
          REFUSED_STATE);
    }
    takeHint(arguments);
    Object result = call(connection, method, arguments);
    return result instanceof Statement statement ? guarded(statement) : result;
  }

  /** A statement that leads back to this connection, not to the one behind it. */
  private Statement guarded(Statement statement) {
    Class<?> shape =
        statement instanceof CallableStatement
            ? CallableStatement.class
            : statement instanceof PreparedStatement ? PreparedStatement.class : Statement.class;
    return (Statement)
        Proxy.newProxyInstance(
            GuardedConnection.class.getClassLoader(),
            new Class<?>[] {shape},
            (proxy, method, arguments) -> {
              if (method.getDeclaringClass() != Object.class) {
                checkUse();
                takeHint(arguments);
              }
              return method.getName().equals("getConnection")
                  ? guarded
                  : call(statement, method, arguments);
            });
  }

  private void takeHint(@Nullable Object @Nullable [] arguments) {
    if (arguments != null && arguments.length > 0 && arguments[0] instanceof String sql) {
      SessionHint.of(sql).ifPresent(whenSuspect);
    }
  }

  private void checkUse() throws SQLException {
    if (isRevoked) {
      throw new SQLException(
          "the handler has returned: its connection may not be used any more", REFUSED_STATE);
    }
  }

  private static @Nullable Object call(
      Object target, Method method, @Nullable Object @Nullable [] arguments) throws Throwable {
    try {
      return method.invoke(target, arguments);
    } catch (InvocationTargetException e) {
      throw e.getCause();
    }
  }
}
