package dev.cortex.events.database;

import dev.cortex.events.event.CortexException;
import dev.cortex.events.event.ErrorCode;

/** A database URL or a PG* variable that breaks a rule. */
public final class InvalidAddressException extends CortexException {
  private static final long serialVersionUID = 1L;

  private final String part;

  InvalidAddressException(String part, String problem) {
    super(ErrorCode.CONFIGURATION, part + ": " + problem);
    this.part = part;
  }

  /** Which part of the address is wrong, such as {@code port} or {@code PGHOST}. */
  public String part() {
    return part;
  }
}
