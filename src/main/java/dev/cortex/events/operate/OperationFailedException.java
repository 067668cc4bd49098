package dev.cortex.events.operate;

import dev.cortex.events.database.DatabaseFault;
import dev.cortex.events.event.CortexException;
import dev.cortex.events.event.ErrorCode;
import java.util.Optional;

/** The database could not answer: it is away, or the login lacks the role for it. */
public final class OperationFailedException extends CortexException {
  private static final long serialVersionUID = 1L;

  private final String operation;

  OperationFailedException(String operation, Throwable cause) {
    super(codeOf(cause), operation + " failed: " + cause.getMessage(), cause);
    this.operation = operation;
  }

  private static ErrorCode codeOf(Throwable cause) {
    Optional<DatabaseFault> fault = DatabaseFault.of(cause);
    if (fault.isEmpty()) {
      return ErrorCode.SOFTWARE;
    }
    return switch (fault.get()) {
      case ACCESS_DENIED -> ErrorCode.NOT_PERMITTED;
      case CONNECTION_LOST, EXHAUSTED -> ErrorCode.UNAVAILABLE;
      case CONTENTION, STATEMENT_CANCELLED, TRANSACTION_TIMEOUT -> ErrorCode.TEMPORARY;
      case REJECTED -> ErrorCode.INVALID_DATA;
      case OTHER -> ErrorCode.SOFTWARE;
    };
  }

  /** Whether the same may succeed later: the database is away, or busy. */
  public boolean isPassing() {
    return code() == ErrorCode.UNAVAILABLE || code() == ErrorCode.TEMPORARY;
  }

  /** What was asked for. */
  public String operation() {
    return operation;
  }
}
