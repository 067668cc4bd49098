package dev.cortex.events.database;

import dev.cortex.events.event.CortexException;
import dev.cortex.events.event.ErrorCode;
import dev.cortex.events.event.FileFault;
import java.io.IOException;
import java.nio.file.Path;

/** The embedded server could not be unpacked, created or started. */
public final class EmbeddedServerException extends CortexException {
  private static final long serialVersionUID = 1L;

  private final String directory;

  EmbeddedServerException(ErrorCode code, Path directory, String problem) {
    super(code, "embedded PostgreSQL in " + directory + ": " + problem);
    this.directory = directory.toString();
  }

  private EmbeddedServerException(ErrorCode code, Path directory, String problem, Throwable cause) {
    super(code, "embedded PostgreSQL in " + directory + ": " + problem, cause);
    this.directory = directory.toString();
  }

  /** A file could not be read or written. */
  static EmbeddedServerException of(Path directory, String problem, IOException cause) {
    return of(directory, problem, "", cause);
  }

  /** Likewise, with the end of the server's log, which may be empty. */
  static EmbeddedServerException of(
      Path directory, String problem, String logTail, IOException cause) {
    FileFault fault = FileFault.of(cause);
    return new EmbeddedServerException(
        // What is not there is not what the caller named: the files are ours.
        fault.code() == ErrorCode.NOT_PERMITTED ? fault.code() : ErrorCode.UNAVAILABLE,
        directory,
        problem + ": " + fault.reason() + (logTail.isEmpty() ? "" : "; its log:" + logTail),
        cause);
  }

  /** The directory of the server, or of its programs. */
  public Path directory() {
    return Path.of(directory);
  }
}
