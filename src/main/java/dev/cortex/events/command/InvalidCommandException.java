package dev.cortex.events.command;

import dev.cortex.events.event.CortexException;
import dev.cortex.events.event.ErrorCode;
import java.nio.file.Path;

/** A file of a directory of commands is not what it has to be, or could be changed by others. */
public final class InvalidCommandException extends CortexException {
  private static final long serialVersionUID = 1L;

  private final String file;

  InvalidCommandException(Path file, String rule) {
    super(ErrorCode.CONFIGURATION, file + ": " + rule);
    this.file = file.toString();
  }

  /** Which file. */
  public String file() {
    return file;
  }
}
