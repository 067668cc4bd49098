package dev.cortex.events.command;

import dev.cortex.events.event.CortexException;
import dev.cortex.events.event.ErrorCode;
import java.nio.file.Path;

/** A program or its settings are not what they have to be, or could be changed by others. */
public final class InvalidCommandException extends CortexException {
  private static final long serialVersionUID = 1L;

  private final String file;

  /** Refuses a file for the rule that it breaks. */
  public InvalidCommandException(Path file, String rule) {
    super(ErrorCode.CONFIGURATION, file + ": " + rule);
    this.file = file.toString();
  }

  /** Which file. */
  public String file() {
    return file;
  }
}
