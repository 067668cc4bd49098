package dev.cortex.events.operate;

import dev.cortex.events.event.ErrorCode;
import java.sql.SQLException;
import java.time.Duration;
import java.time.Instant;
import java.time.OffsetDateTime;
import java.time.ZoneOffset;
import java.util.Optional;
import java.util.function.Function;
import javax.sql.DataSource;
import org.jdbi.v3.core.Handle;
import org.jdbi.v3.core.Jdbi;
import org.jdbi.v3.core.JdbiException;
import org.jspecify.annotations.Nullable;
import org.postgresql.util.PSQLException;
import org.postgresql.util.ServerErrorMessage;

/** Runs a piece of work on a connection, and says in our words what the database says in its. */
final class OperationsDatabase {
  private final Jdbi jdbi;

  OperationsDatabase(DataSource dataSource) {
    this.jdbi = Jdbi.create(dataSource);
  }

  /** One transaction, ended before this returns. */
  <T> T ask(String operation, Function<Handle, T> work) {
    try {
      return jdbi.inTransaction(work::apply);
    } catch (JdbiException e) {
      throw translated(operation, e);
    }
  }

  private static RuntimeException translated(String operation, JdbiException error) {
    for (@Nullable Throwable cause = error; cause != null; cause = cause.getCause()) {
      if (cause instanceof PSQLException) {
        Optional<OperationRefusedException> refusal = refusal((PSQLException) cause);
        return refusal.isPresent() ? refusal.get() : new OperationFailedException(operation, cause);
      }
      if (cause instanceof SQLException) {
        return new OperationFailedException(operation, cause);
      }
    }
    return new OperationFailedException(operation, error);
  }

  /** The parts that cortex.refuse_action puts into the fields of its error. */
  private static Optional<OperationRefusedException> refusal(PSQLException error) {
    @Nullable ServerErrorMessage parts = error.getServerErrorMessage();
    if (parts == null) {
      return Optional.empty();
    }
    @Nullable String field = parts.getColumn();
    @Nullable String rule = parts.getConstraint();
    @Nullable String value = parts.getDatatype();
    if (field == null || rule == null || value == null) {
      return Optional.empty();
    }
    return switch (String.valueOf(error.getSQLState())) {
      case "P0002" -> // no_data_found
          Optional.of(
              new OperationRefusedException(ErrorCode.NOT_FOUND, field, rule, value, error));
      case "23514" -> // check_violation
          Optional.of(
              new OperationRefusedException(ErrorCode.INVALID_DATA, field, rule, value, error));
      default -> Optional.empty();
    };
  }

  static @Nullable OffsetDateTime sqlTime(Optional<Instant> moment) {
    return moment.map(known -> known.atOffset(ZoneOffset.UTC)).orElse(null);
  }

  static Duration seconds(double seconds) {
    return Duration.ofNanos(Math.round(seconds * 1e9));
  }
}
