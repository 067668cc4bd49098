package dev.cortex.events.delivery;

import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Proxy;
import java.sql.Connection;
import java.sql.PreparedStatement;
import java.sql.SQLException;
import java.sql.SQLWarning;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;

/**
 * Has the server explain what a session really runs, nested statements of functions too, and keeps
 * what it says. The plans come as notices: with the statement that was run, which are read when
 * that is closed, or, where it returned rows to the client, with the end of its transaction.
 */
final class PlanRecorder {
  private final Connection connection;
  private final Connection recording;
  private final List<String> plans = new ArrayList<>();

  /** What is to be explained. */
  @FunctionalInterface
  interface Work {
    void on(Connection connection) throws SQLException;
  }

  private PlanRecorder(Connection connection) {
    this.connection = connection;
    this.recording =
        proxy(
            Connection.class,
            (method, arguments) -> {
              Object result = call(connection, method, arguments);
              return result instanceof PreparedStatement statement ? recorded(statement) : result;
            });
  }

  /** Only a superuser may load what explains. */
  static PlanRecorder on(Connection superuser) throws SQLException {
    try (Statement statement = superuser.createStatement()) {
      statement.execute(
          """
          load 'auto_explain';
          set auto_explain.log_min_duration = 0;
          set auto_explain.log_nested_statements = on;
          set auto_explain.log_analyze = on;
          set auto_explain.log_timing = off;
          set auto_explain.log_buffers = on;
          set auto_explain.log_level = 'notice';
          set client_min_messages = 'notice'""");
    }
    return new PlanRecorder(superuser);
  }

  Connection connection() {
    return recording;
  }

  /** Those since {@link #clear}. */
  List<String> plans() throws SQLException {
    read(connection.getWarnings());
    return List.copyOf(plans);
  }

  void clear() throws SQLException {
    connection.clearWarnings();
    plans.clear();
  }

  private PreparedStatement recorded(PreparedStatement statement) {
    return proxy(
        PreparedStatement.class,
        (method, arguments) -> {
          if (method.getName().equals("close")) {
            read(statement.getWarnings());
          }
          return call(statement, method, arguments);
        });
  }

  private void read(SQLWarning first) {
    for (SQLWarning warning = first; warning != null; warning = warning.getNextWarning()) {
      plans.add(String.valueOf(warning.getMessage()));
    }
  }

  private interface Calls {
    Object call(Method method, Object[] arguments) throws Throwable;
  }

  private static <T> T proxy(Class<T> type, Calls calls) {
    return type.cast(
        Proxy.newProxyInstance(
            PlanRecorder.class.getClassLoader(),
            new Class<?>[] {type},
            (self, method, arguments) -> calls.call(method, arguments)));
  }

  private static Object call(Object target, Method method, Object[] arguments) throws Throwable {
    try {
      return method.invoke(target, arguments);
    } catch (InvocationTargetException e) {
      throw e.getCause();
    }
  }
}
