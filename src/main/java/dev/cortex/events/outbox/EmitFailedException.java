package dev.cortex.events.outbox;

import dev.cortex.events.database.DatabaseFault;
import dev.cortex.events.event.CortexException;
import dev.cortex.events.event.ErrorCode;
import java.sql.SQLException;
import java.util.Optional;

/**
 * The database could not record events, for a reason that lies in no event: a lost connection, a
 * deadlock, a missing permission. The cause is the driver's error.
 *
 * <p>Whether anything was written is known when the transaction ends, as for any statement. Where
 * the connection broke during a COMMIT it is not: then emit again with the same event ids or dedupe
 * keys.
 */
public final class EmitFailedException extends CortexException {
  private static final long serialVersionUID = 1L;

  EmitFailedException(SQLException cause) {
    super(codeOf(cause), "events not recorded: SQLSTATE " + cause.getSQLState(), cause);
  }

  /** For an error that came before or after the statements, as with a connection. */
  public static EmitFailedException because(SQLException cause) {
    return new EmitFailedException(cause);
  }

  private static ErrorCode codeOf(SQLException cause) {
    return switch (DatabaseFault.of(cause).orElse(DatabaseFault.OTHER)) {
      case CONTENTION -> ErrorCode.TEMPORARY;
      case CONNECTION_LOST, EXHAUSTED, TRANSACTION_TIMEOUT, STATEMENT_CANCELLED ->
          ErrorCode.UNAVAILABLE;
      case ACCESS_DENIED -> ErrorCode.NOT_PERMITTED;
      case REJECTED -> ErrorCode.INVALID_DATA;
      case OTHER -> ErrorCode.CONFIGURATION;
    };
  }

  /** The SQLSTATE of the driver's error, where it has one. */
  public Optional<String> sqlState() {
    return getCause() instanceof SQLException cause
        ? Optional.ofNullable(cause.getSQLState())
        : Optional.empty();
  }
}
