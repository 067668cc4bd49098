package dev.cortex.events.worker;

import java.lang.reflect.Method;
import java.sql.Blob;
import java.sql.Clob;
import java.sql.Connection;
import java.sql.SQLException;
import java.sql.Types;
import java.util.Optional;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.postgresql.PGConnection;

/**
 * What a handler may not call of the objects that it is lent, and what it is told to do instead:
 * what would end or change the transaction, what stays on the connection for whoever has it next,
 * and what hands out objects of the driver's that nobody can take back. Of the driver's own
 * interface only what is listed is lent, so that a newer driver lends no more.
 */
final class RefusedCall {
  /** active_sql_transaction: a state of its own for a caller's mistake with the transaction. */
  static final String STATE = "25001";

  private static final Set<String> OF_THE_TRANSACTION =
      Set.of(
          "commit",
          "close",
          "abort",
          "setAutoCommit",
          "setAutosave",
          "setTransactionIsolation",
          "setReadOnly",
          "setSchema",
          "setNetworkTimeout",
          "beginRequest",
          "endRequest");

  private static final Set<String> STAYING =
      Set.of(
          "setHoldability",
          "setTypeMap",
          "setQueryTimeout",
          "setDefaultFetchSize",
          "setPrepareThreshold",
          "setAdaptiveFetch",
          "addDataType");

  private static final Set<String> LENT_BY_THE_DRIVER =
      Set.of(
          "createArrayOf",
          "escapeIdentifier",
          "escapeLiteral",
          "getBackendPID",
          "getCopyAPI",
          "getNotifications",
          "getParameterStatus",
          "getParameterStatuses");

  private static final Set<Integer> LARGE_TYPES = Set.of(Types.BLOB, Types.CLOB, Types.NCLOB);

  private static final String NO_LARGE_OBJECTS =
      "what handles a large object outlives the handler, and may commit;"
          + " use a column of bytea or text, or lo_get, lo_put and lo_from_bytea in SQL";

  private RefusedCall() {}

  /** Why a call is refused, if it is. */
  static Optional<SQLException> of(Method method, @Nullable Object @Nullable [] arguments) {
    @Nullable Object[] given = arguments == null ? new Object[0] : arguments;
    String name = method.getName();
    Class<?> owner = method.getDeclaringClass();
    boolean isOfConnection = owner == Connection.class || owner == PGConnection.class;
    boolean isWholeRollback = name.equals("rollback") && given.length == 0;
    if (isOfConnection && (isWholeRollback || OF_THE_TRANSACTION.contains(name))) {
      return Optional.of(ofTransaction("a handler may not call " + name));
    } else if (isOfConnection && STAYING.contains(name)) {
      return refused(
          name, "it would stay for whoever has the connection next; set it on the statement");
    } else if (isOfLargeObjects(name, given)) {
      return refused(name, NO_LARGE_OBJECTS);
    } else if (owner == PGConnection.class && !LENT_BY_THE_DRIVER.contains(name)) {
      return refused(name, "use SQL, or a connection of your own");
    }
    return Optional.empty();
  }

  /** Refuses what a column of an unforeseen type has turned into. */
  static Optional<SQLException> ofResult(Method method, @Nullable Object result) {
    return isLarge(result) ? refused(method.getName(), NO_LARGE_OBJECTS) : Optional.empty();
  }

  static SQLException ofTransaction(String rule) {
    return new SQLException("the transaction belongs to the engine: " + rule, STATE);
  }

  private static Optional<SQLException> refused(String name, String instead) {
    return Optional.of(new SQLException("a handler may not call " + name + ": " + instead, STATE));
  }

  private static boolean isOfLargeObjects(String name, @Nullable Object[] given) {
    if (name.equals("getLargeObjectAPI") || name.endsWith("Blob") || name.endsWith("Clob")) {
      return true;
    } else if (!name.endsWith("Object")) {
      return false;
    }
    for (int i = 0; i < given.length; i++) {
      boolean isTypeOfIt =
          i == 2
              && name.equals("setObject")
              && given[i] instanceof Integer type
              && LARGE_TYPES.contains(type);
      if (isTypeOfIt || isLarge(given[i])) {
        return true;
      }
    }
    return false;
  }

  /** An object, or the class of one that is asked for. */
  private static boolean isLarge(@Nullable Object object) {
    return object instanceof Blob
        || object instanceof Clob
        || (object instanceof Class<?> type
            && (Blob.class.isAssignableFrom(type) || Clob.class.isAssignableFrom(type)));
  }
}
