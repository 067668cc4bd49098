package dev.cortex.events.database;

import dev.cortex.events.event.CortexException;
import dev.cortex.events.event.ErrorCode;
import java.nio.file.Path;

/** The embedded server could not be unpacked, created or started. */
public final class EmbeddedServerException extends CortexException {
  private static final long serialVersionUID = 1L;

  private final String directory;

  EmbeddedServerException(ErrorCode code, Path directory, String problem) {
    super(code, "embedded PostgreSQL in " + directory + ": " + problem);
    this.directory = directory.toString();
  }

  EmbeddedServerException(Path directory, String problem, Throwable cause) {
    super(ErrorCode.UNAVAILABLE, "embedded PostgreSQL in " + directory + ": " + problem, cause);
    this.directory = directory.toString();
  }

  /** The directory of the server, or of its programs. */
  public Path directory() {
    return Path.of(directory);
  }
}
