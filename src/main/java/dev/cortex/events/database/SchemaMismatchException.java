package dev.cortex.events.database;

import dev.cortex.events.event.CortexException;
import dev.cortex.events.event.ErrorCode;
import java.util.OptionalInt;
import org.jspecify.annotations.Nullable;

/** The database's schema and this program do not fit each other. */
public final class SchemaMismatchException extends CortexException {
  private static final long serialVersionUID = 1L;

  private final @Nullable Integer found;

  SchemaMismatchException(String message, OptionalInt found) {
    super(ErrorCode.CONFIGURATION, message);
    this.found = found.isPresent() ? found.getAsInt() : null;
  }

  /** The version that the database has; empty when it has no schema. */
  public OptionalInt found() {
    return found == null ? OptionalInt.empty() : OptionalInt.of(found);
  }
}
