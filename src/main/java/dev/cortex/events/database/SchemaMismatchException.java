package dev.cortex.events.database;

import dev.cortex.events.event.CortexException;
import dev.cortex.events.event.ErrorCode;
import java.util.OptionalInt;

/** The database's schema and this program do not fit each other. */
public final class SchemaMismatchException extends CortexException {
  private static final long serialVersionUID = 1L;

  private final transient OptionalInt found;

  SchemaMismatchException(String message, OptionalInt found) {
    super(ErrorCode.CONFIGURATION, message);
    this.found = found;
  }

  /** The version that the database has; empty when it has no schema. */
  public OptionalInt found() {
    return found;
  }
}
