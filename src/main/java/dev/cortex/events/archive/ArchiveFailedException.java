package dev.cortex.events.archive;

import dev.cortex.events.database.DatabaseFault;
import dev.cortex.events.event.CortexException;
import dev.cortex.events.event.ErrorCode;
import dev.cortex.events.event.FileFault;
import java.io.IOException;
import java.sql.SQLException;
import java.util.Optional;

/** An archive run, or a look at the archive, ended early. Nothing is lost; run it again. */
public final class ArchiveFailedException extends CortexException {
  private static final long serialVersionUID = 1L;

  ArchiveFailedException(ErrorCode code, String message) {
    super(code, message);
  }

  ArchiveFailedException(SQLException cause) {
    super(codeOf(cause), "archive: " + cause.getMessage(), cause);
  }

  ArchiveFailedException(IOException cause) {
    super(FileFault.of(cause).code(), "archive: " + FileFault.of(cause).reason(), cause);
  }

  private static ErrorCode codeOf(SQLException cause) {
    Optional<DatabaseFault> fault = DatabaseFault.of(cause);
    if (fault.isEmpty()) {
      return ErrorCode.SOFTWARE;
    }
    return switch (fault.get()) {
      case ACCESS_DENIED -> ErrorCode.NOT_PERMITTED;
      case CONNECTION_LOST, EXHAUSTED -> ErrorCode.UNAVAILABLE;
      case CONTENTION, STATEMENT_CANCELLED, TRANSACTION_TIMEOUT -> ErrorCode.TEMPORARY;
      case REJECTED, OTHER -> ErrorCode.SOFTWARE;
    };
  }
}
