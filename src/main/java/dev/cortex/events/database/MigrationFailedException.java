package dev.cortex.events.database;

import dev.cortex.events.event.CortexException;
import dev.cortex.events.event.ErrorCode;

/** A schema could not be brought to its newest version. */
public final class MigrationFailedException extends CortexException {
  private static final long serialVersionUID = 1L;

  private final String schema;

  MigrationFailedException(ErrorCode code, String schema, String problem, Throwable cause) {
    super(code, "migration of schema " + schema + ": " + problem, cause);
    this.schema = schema;
  }

  /** The schema that the failed migration belongs to. */
  public String schema() {
    return schema;
  }
}
