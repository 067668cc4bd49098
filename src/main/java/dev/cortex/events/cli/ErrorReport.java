package dev.cortex.events.cli;

import dev.cortex.events.database.DatabaseFault;
import dev.cortex.events.database.MigrationFailedException;
import dev.cortex.events.event.CortexException;
import dev.cortex.events.event.ErrorCode;
import dev.cortex.events.event.FileFault;
import dev.cortex.events.operate.OperationFailedException;
import dev.cortex.events.outbox.EmitFailedException;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.sql.SQLException;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import org.jspecify.annotations.Nullable;
import org.postgresql.util.PSQLException;
import org.postgresql.util.ServerErrorMessage;
import picocli.CommandLine;
import picocli.CommandLine.IExecutionExceptionHandler;
import picocli.CommandLine.IParameterExceptionHandler;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;

/**
 * Turns an error into a message and an exit status. The message tells what was refused, never a
 * statement, and nothing of a payload: of what the server says only its first message is shown. It
 * is one line, except where a server of our own does not start: then its log follows.
 */
final class ErrorReport implements IExecutionExceptionHandler, IParameterExceptionHandler {
  private static final int MAX_CAUSES = 50;

  private final Console console;
  private final BooleanSupplier isDebugging;

  ErrorReport(Console console, BooleanSupplier isDebugging) {
    this.console = console;
    this.isDebugging = isDebugging;
  }

  @Override
  public int handleParseException(ParameterException e, String[] args) {
    CommandLine command = e.getCommandLine();
    console.remark(firstLine(e.getMessage()));
    console.err().println("Try: " + command.getCommandSpec().qualifiedName() + " --help");
    trace(e);
    return ErrorCode.USAGE.exitStatus();
  }

  @Override
  public int handleExecutionException(Exception e, CommandLine command, ParseResult parsed) {
    if (e instanceof ParameterException wrong) {
      return handleParseException(wrong, new String[0]);
    }
    console.remark(message(e).lines().toList());
    trace(e);
    return code(e).exitStatus();
  }

  private void trace(Exception e) {
    if (isDebugging.getAsBoolean()) {
      e.printStackTrace(console.err());
    }
  }

  /** What kind of failure it is. */
  static ErrorCode code(Throwable error) {
    if (error instanceof CortexException known) {
      return known.code();
    }
    if (error instanceof IOException || error instanceof UncheckedIOException) {
      return FileFault.of(sourceOf(error)).code();
    }
    // invalid_catalog_name: the address names a database that is not there
    boolean isNowhere =
        lastSqlException(error).filter(sql -> "3D000".equals(sql.getSQLState())).isPresent();
    return isNowhere
        ? ErrorCode.CONFIGURATION
        : DatabaseFault.of(error).map(ErrorReport::code).orElse(ErrorCode.SOFTWARE);
  }

  private static ErrorCode code(DatabaseFault fault) {
    return switch (fault) {
      case CONTENTION, TRANSACTION_TIMEOUT, STATEMENT_CANCELLED -> ErrorCode.TEMPORARY;
      case CONNECTION_LOST, EXHAUSTED -> ErrorCode.UNAVAILABLE;
      case ACCESS_DENIED -> ErrorCode.NOT_PERMITTED;
      case REJECTED -> ErrorCode.INVALID_DATA;
      case OTHER -> ErrorCode.SOFTWARE;
    };
  }

  /** What happened, for people. */
  static String message(Throwable error) {
    if (error instanceof OperationFailedException failed) {
      return failed.operation() + " failed: " + databaseMessage(failed);
    }
    if (error instanceof EmitFailedException failed) {
      return "events not recorded: " + databaseMessage(failed);
    }
    if (error instanceof MigrationFailedException failed) {
      // Then come the statement and what the server says, of which its own first line is enough.
      return firstLine(failed.getMessage())
          + lastSqlException(failed).map(sql -> " " + serverMessage(sql)).orElse("");
    }
    if (error instanceof CortexException known) {
      return String.valueOf(known.getMessage());
    }
    if (lastSqlException(error).isPresent()) {
      return "the database: " + databaseMessage(error);
    }
    if (error instanceof IOException || error instanceof UncheckedIOException) {
      FileFault fault = FileFault.of(sourceOf(error));
      return fault.code() == ErrorCode.UNAVAILABLE
          ? "cannot read or write: " + firstLine(fault.reason())
          : firstLine(fault.reason());
    }
    return "a fault in this program: " + error + " (--debug shows where)";
  }

  private static String databaseMessage(Throwable error) {
    return lastSqlException(error).map(ErrorReport::serverMessage).orElse(String.valueOf(error));
  }

  private static String serverMessage(SQLException e) {
    @Nullable ServerErrorMessage said =
        e instanceof PSQLException server ? server.getServerErrorMessage() : null;
    @Nullable String message = said == null ? e.getMessage() : said.getMessage();
    return firstLine(message) + (e.getSQLState() == null ? "" : " (" + e.getSQLState() + ")");
  }

  /** The innermost one: a pool that gives up waiting wraps what it has been waiting for. */
  private static Optional<SQLException> lastSqlException(Throwable error) {
    Optional<SQLException> found = Optional.empty();
    @Nullable Throwable cause = error;
    for (int i = 0; cause != null && i < MAX_CAUSES; i++, cause = cause.getCause()) {
      if (cause instanceof SQLException sql) {
        found = Optional.of(sql);
      }
    }
    return found;
  }

  private static IOException sourceOf(Throwable error) {
    @Nullable Throwable source = error instanceof UncheckedIOException ? error.getCause() : error;
    return source instanceof IOException known ? known : new IOException(error);
  }

  private static String firstLine(@Nullable String message) {
    return String.valueOf(message).lines().findFirst().orElse("no message");
  }
}
