package dev.cortex.events.worker;

import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.sql.Array;
import java.sql.CallableStatement;
import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.ParameterMetaData;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.sql.Wrapper;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.concurrent.ConcurrentHashMap;
import java.util.function.Consumer;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.postgresql.PGConnection;
import org.postgresql.PGResultSetMetaData;
import org.postgresql.PGStatement;
import org.postgresql.core.BaseConnection;

/**
 * The transaction's connection as a handler sees it: everything works but what {@link RefusedCall}
 * names, and texts of SQL that would end or change the transaction; and nothing works any more once
 * the handler has returned. Whatever leads on from it (statements, results, metadata, arrays, what
 * is unwrapped) leads back to it, not to the connection behind it.
 *
 * <p>It keeps an author from slips, not from reflection: there the engine notices, before it
 * commits, that its transaction is not the one that claimed.
 */
final class GuardedConnection {
  private static final int REMEMBERED = 200;

  private final Connection connection;
  private final Connection guarded;
  private final Consumer<SessionHint> whenSuspect;

  /** Texts that were looked at, so that what a batch executes for each event is looked at once. */
  private final Set<String> harmless = ConcurrentHashMap.newKeySet();

  private volatile boolean isRevoked;
  private volatile boolean isBroken;

  /**
   * @param whenSuspect told of a statement that may leave something behind in the session
   */
  GuardedConnection(Connection connection, Consumer<SessionHint> whenSuspect) {
    this.connection = connection;
    this.whenSuspect = whenSuspect;
    this.guarded = (Connection) guarded(connection, null);
  }

  Connection connection() {
    return guarded;
  }

  /** From now on every call fails. */
  void revoke() {
    isRevoked = true;
  }

  /**
   * Whether an error ended a call of the driver, such as a stack overflow or what a stream of the
   * handler's throws when it is read: nobody knows then how much was sent.
   */
  boolean isBroken() {
    return isBroken;
  }

  private Object guarded(Object target, @Nullable Object parent) {
    return Proxy.newProxyInstance(
        GuardedConnection.class.getClassLoader(), shape(target), new Guard(target, parent));
  }

  private static Class<?>[] shape(Object target) {
    if (target instanceof Connection) {
      return new Class<?>[] {Connection.class, PGConnection.class};
    } else if (target instanceof CallableStatement) {
      return new Class<?>[] {CallableStatement.class, PGStatement.class};
    } else if (target instanceof PreparedStatement) {
      return new Class<?>[] {PreparedStatement.class, PGStatement.class};
    } else if (target instanceof Statement) {
      return new Class<?>[] {Statement.class, PGStatement.class};
    } else if (target instanceof ResultSetMetaData) {
      return new Class<?>[] {ResultSetMetaData.class, PGResultSetMetaData.class};
    }
    return Stream.of(ResultSet.class, Array.class, ParameterMetaData.class, DatabaseMetaData.class)
        .filter(type -> type.isInstance(target))
        .toArray(Class<?>[]::new);
  }

  private static boolean leadsOn(@Nullable Object result) {
    return result instanceof ResultSet
        || result instanceof Statement
        || result instanceof Array
        || result instanceof ResultSetMetaData
        || result instanceof ParameterMetaData
        || result instanceof DatabaseMetaData
        || result instanceof Connection;
  }

  /** An object of the driver's, as the handler sees it. */
  final class Guard implements InvocationHandler {
    final Object target;

    /** What the handler had it from. */
    private final @Nullable Object parent;

    Guard(Object target, @Nullable Object parent) {
      this.target = target;
      this.parent = parent;
    }

    @Override
    public @Nullable Object invoke(
        Object proxy, Method method, @Nullable Object @Nullable [] arguments) throws Throwable {
      if (method.getDeclaringClass() == Object.class) {
        return ofObject(proxy, method, arguments);
      }
      checkCall(method, arguments);
      String name = method.getName();
      if (arguments != null && arguments.length > 0) {
        if (arguments[0] instanceof String sql && isSql(name)) {
          checkText(sql);
        } else if (arguments[0] instanceof Class<?> type
            && method.getDeclaringClass() == Wrapper.class) {
          return name.equals("unwrap") ? unwrap(proxy, type) : type.isInstance(proxy);
        }
      }
      return switch (name) {
        case "getConnection" -> guarded;
        case "getCopyAPI" ->
            new GuardedCopy(
                connection.unwrap(BaseConnection.class),
                sql -> {
                  checkUse();
                  checkText(sql);
                });
        case "getTypeMap" -> Map.of(); // the driver's own would stay changed
        default -> guardedResult(proxy, method, call(method, arguments));
      };
    }

    /** Two are equal where they are one; else as what it stands for. */
    private @Nullable Object ofObject(
        Object proxy, Method method, @Nullable Object @Nullable [] arguments) throws Throwable {
      return switch (method.getName()) {
        case "equals" -> arguments != null && proxy == arguments[0];
        case "hashCode" -> System.identityHashCode(proxy);
        default -> call(method, arguments);
      };
    }

    /** Not every method may throw what the others do. */
    private void checkCall(Method method, @Nullable Object @Nullable [] arguments)
        throws SQLException {
      try {
        checkUse();
        throwAny(RefusedCall.of(method, arguments));
      } catch (SQLException e) {
        if (!List.of(method.getExceptionTypes()).contains(SQLException.class)) {
          throw new IllegalStateException(e.getMessage(), e);
        }
        throw e;
      }
    }

    /** Only what has no way past the guard. */
    private Object unwrap(Object proxy, Class<?> type) throws SQLException {
      if (!type.isInstance(proxy)) {
        throw RefusedCall.ofTransaction("a handler may not unwrap " + type.getName());
      }
      return proxy;
    }

    private @Nullable Object guardedResult(Object proxy, Method method, @Nullable Object result)
        throws SQLException {
      throwAny(RefusedCall.ofResult(method, result));
      if (result == null || !leadsOn(result)) {
        return result;
      }
      return parent != null && isMadeBy(parent, result) ? parent : guarded(result, proxy);
    }

    private @Nullable Object call(Method method, @Nullable Object @Nullable [] arguments)
        throws Throwable {
      try {
        return method.invoke(receiver(method), bare(arguments));
      } catch (InvocationTargetException e) {
        noteBreak(method, e.getCause());
        throw e.getCause();
      } catch (Error e) {
        isBroken = true;
        throw e;
      }
    }

    /** A statement that ends in anything but the driver's own exception was sent in part, maybe. */
    private void noteBreak(Method method, @Nullable Throwable error) {
      boolean isSending = method.getName().startsWith("execute");
      if (error instanceof Error || (isSending && error instanceof RuntimeException)) {
        isBroken = true;
      }
    }

    /** A pool's own objects are no PostgreSQL ones; what they wrap is. */
    private Object receiver(Method method) throws SQLException {
      Class<?> type = method.getDeclaringClass();
      return type.isInstance(target) ? target : ((Wrapper) target).unwrap(type);
    }
  }

  private static boolean isMadeBy(Object parent, Object result) {
    return ((Guard) Proxy.getInvocationHandler(parent)).target == result;
  }

  /** The driver gets its own arrays, not what the handler sees of them. */
  private static @Nullable Object @Nullable [] bare(@Nullable Object @Nullable [] arguments) {
    if (arguments != null) {
      for (int i = 0; i < arguments.length; i++) {
        if (arguments[i] instanceof Array array
            && Proxy.isProxyClass(array.getClass())
            && Proxy.getInvocationHandler(array) instanceof Guard guard) {
          arguments[i] = guard.target;
        }
      }
    }
    return arguments;
  }

  private static boolean isSql(String method) {
    return method.startsWith("execute")
        || method.startsWith("prepare")
        || method.equals("addBatch");
  }

  private void checkText(String sql) throws SQLException {
    if (harmless.contains(sql)) {
      return;
    }
    String command = TransactionCommand.in(sql, this::hasStandardStrings).orElse("");
    if (!command.isEmpty()) {
      throw RefusedCall.ofTransaction("a handler may not execute " + command);
    }
    Optional<SessionHint> hint = SessionHint.of(sql);
    hint.ifPresent(whenSuspect);
    boolean isSettled = hint.isEmpty() && sql.indexOf('\\') < 0;
    if (isSettled && harmless.size() < REMEMBERED) {
      harmless.add(sql);
    }
  }

  private boolean hasStandardStrings() {
    try {
      PGConnection server = connection.unwrap(PGConnection.class);
      return !"off".equals(server.getParameterStatus("standard_conforming_strings"));
    } catch (SQLException e) {
      return true;
    }
  }

  private void checkUse() throws SQLException {
    if (isRevoked) {
      throw new SQLException(
          "the handler has returned: its connection may not be used any more", RefusedCall.STATE);
    }
  }

  private static void throwAny(Optional<SQLException> error) throws SQLException {
    if (error.isPresent()) {
      throw error.get();
    }
  }
}
