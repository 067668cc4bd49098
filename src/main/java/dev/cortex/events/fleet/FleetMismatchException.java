package dev.cortex.events.fleet;

import dev.cortex.events.event.CortexException;
import dev.cortex.events.event.ErrorCode;

/** The database's schema {@code fleet} and the fleet's handlers do not fit each other. */
final class FleetMismatchException extends CortexException {
  private static final long serialVersionUID = 1L;

  FleetMismatchException(String found) {
    super(
        ErrorCode.CONFIGURATION,
        "schema fleet: must have at least version "
            + FleetSchema.CURRENT
            + ", but the database has "
            + found
            + "; run `cortex migrate`");
  }
}
