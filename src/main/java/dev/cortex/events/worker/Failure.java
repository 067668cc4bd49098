package dev.cortex.events.worker;

import dev.cortex.events.database.DatabaseFault;
import dev.cortex.events.event.InvalidEventException;
import java.sql.SQLException;
import java.sql.SQLTransientConnectionException;
import java.util.Optional;
import org.jspecify.annotations.Nullable;
import org.postgresql.util.PSQLException;
import org.postgresql.util.ServerErrorMessage;

/**
 * What was thrown, as far as a verdict needs to know it. What a handler throws is the user's code
 * too: its message, causes and state are asked for here, once, and whatever answers by throwing is
 * a failure of the handler's like any other.
 *
 * @param fault what it means, where the database has a part in it, else {@link DatabaseFault#OTHER}
 * @param state the SQLSTATE, where there is one
 * @param description class and message; of an error of the server's only the primary message, since
 *     its detail quotes the row
 */
record Failure(Kind kind, DatabaseFault fault, @Nullable String state, String description) {

  /** What a verdict tells apart by class. */
  enum Kind {
    /** The worker stops and the handler obeyed. */
    INTERRUPTED,
    EMITTED_TOO_MUCH,
    /** What it read or emitted breaks a rule, and will the next time too. */
    INVALID_EVENT,
    OTHER;

    private static Kind of(Throwable error) {
      if (error instanceof InterruptedException) {
        return INTERRUPTED;
      } else if (error instanceof EmittedTooMuchException) {
        return EMITTED_TOO_MUCH;
      }
      return error instanceof InvalidEventException ? INVALID_EVENT : OTHER;
    }
  }

  static Failure of(Throwable error) {
    try {
      Optional<SQLException> found = DatabaseFault.find(error);
      return new Failure(
          Kind.of(error),
          DatabaseFault.of(error).orElse(DatabaseFault.OTHER),
          found.map(SQLException::getSQLState).orElse(null),
          describe(error));
    } catch (Throwable e) {
      return new Failure(
          Kind.OTHER,
          DatabaseFault.OTHER,
          null,
          error.getClass().getName() + ": asking it failed with " + e.getClass().getName());
    }
  }

  private static String describe(Throwable error) {
    if (error instanceof PSQLException serverError) {
      ServerErrorMessage message = serverError.getServerErrorMessage();
      if (message != null) {
        return "SQLSTATE " + message.getSQLState() + ": " + message.getMessage();
      }
    }
    return error.getClass().getName() + ": " + error.getMessage();
  }

  /** The same for whoever waits for the database, with nothing of the handler's in it. */
  SQLException asAbsence() {
    return new SQLTransientConnectionException(description, state);
  }
}
