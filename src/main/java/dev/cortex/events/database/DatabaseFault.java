package dev.cortex.events.database;

import java.sql.SQLException;
import java.sql.SQLNonTransientConnectionException;
import java.sql.SQLRecoverableException;
import java.sql.SQLTransientConnectionException;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * What a failure of the database means for a queue, decided by SQLSTATE and never by message text:
 * whose fault it is (does it cost an attempt?) and whether the database is there at all.
 *
 * <p>An attempt is charged for what the handler or its event did. What happened to the handler (a
 * rival transaction, a restart, a full disk) is retried for free; whoever retries bounds the count,
 * since an event may be the reason why a server runs out of memory.
 */
public enum DatabaseFault {
  /** Serialization failure, deadlock or lock timeout: the same work may succeed at once. */
  CONTENTION(false),
  /** The connection broke, the server stopped or is starting, or it is a standby now. */
  CONNECTION_LOST(false),
  /** The server is out of disk, memory or connections. */
  EXHAUSTED(false),
  /** The server ended the session because the transaction exceeded its time. */
  TRANSACTION_TIMEOUT(true),
  /** A statement exceeded its time, or somebody cancelled it. */
  STATEMENT_CANCELLED(true),
  /** The server refused the data: malformed, out of range, too large or against a constraint. */
  REJECTED(true),
  /** Login or permission refused: the installation's fault, and no retry mends it. */
  ACCESS_DENIED(true),
  /** Anything else that the server reports: mostly an error in a statement. */
  OTHER(true);

  /** Causes are followed this far, so that a cycle of causes ends. */
  private static final int MAX_CAUSES = 50;

  private final boolean costsAttempt;

  DatabaseFault(boolean costsAttempt) {
    this.costsAttempt = costsAttempt;
  }

  /** Whether an attempt that failed like this is charged to the event. */
  public boolean costsAttempt() {
    return costsAttempt;
  }

  /** Whether the database is away, or out of something: to be waited for, by whoever needs it. */
  public boolean isAbsence() {
    return this == CONNECTION_LOST || this == EXHAUSTED;
  }

  /**
   * The fault of the first {@link SQLException} with a meaning in the chain of causes; empty when
   * the database has no part in the error.
   */
  public static Optional<DatabaseFault> of(Throwable error) {
    return find(error).map(DatabaseFault::ofOne);
  }

  /**
   * The first {@link SQLException} with a meaning in the chain of causes, else the last one
   * without; empty when there is none.
   */
  public static Optional<SQLException> find(Throwable error) {
    Optional<SQLException> found = Optional.empty();
    @Nullable Throwable cause = error;
    for (int i = 0; cause != null && i < MAX_CAUSES; i++, cause = cause.getCause()) {
      if (cause instanceof SQLException sqlException) {
        found = Optional.of(sqlException);
        if (ofOne(sqlException) != OTHER) {
          return found;
        }
      }
    }
    return found;
  }

  private static DatabaseFault ofOne(SQLException error) {
    @Nullable String state = error.getSQLState();
    if (state != null) {
      return ofState(state);
    }
    // A pool that found no connection in time reports no state of its own.
    return error instanceof SQLTransientConnectionException
            || error instanceof SQLNonTransientConnectionException
            || error instanceof SQLRecoverableException
        ? CONNECTION_LOST
        : OTHER;
  }

  /** The fault that a five-character SQLSTATE stands for. */
  public static DatabaseFault ofState(String state) {
    return switch (state) {
      // serialization_failure, deadlock_detected, lock_not_available
      case "40001", "40P01", "55P03" -> CONTENTION;
      // admin_shutdown (also pg_terminate_backend), crash_shutdown, cannot_connect_now,
      // idle_session_timeout; statement_completion_unknown;
      // read_only_sql_transaction: the primary has become a standby
      case "57P01", "57P02", "57P03", "57P05", "40003", "25006" -> CONNECTION_LOST;
      // idle_in_transaction_session_timeout, transaction_timeout
      case "25P03", "25P04" -> TRANSACTION_TIMEOUT;
      // query_canceled
      case "57014" -> STATEMENT_CANCELLED;
      // transaction_integrity_constraint_violation, with_check_option_violation
      case "40002", "44000" -> REJECTED;
      // insufficient_privilege; of the driver's: the server asks for a password, and none is given
      case "42501", "08004" -> ACCESS_DENIED;
      default -> ofClass(state.length() < 2 ? "" : state.substring(0, 2));
    };
  }

  private static DatabaseFault ofClass(String stateClass) {
    return switch (stateClass) {
      case "08" -> CONNECTION_LOST; // connection exceptions
      case "53", "58" -> EXHAUSTED; // insufficient resources; input and output
      case "22", "23", "54" -> REJECTED; // data, constraints, limits such as nesting and size
      case "28" -> ACCESS_DENIED; // invalid authorization
      default -> OTHER;
    };
  }
}
