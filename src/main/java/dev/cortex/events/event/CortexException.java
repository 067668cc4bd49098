package dev.cortex.events.event;

import java.util.Objects;

/**
 * The base of every error that Cortex Events throws on purpose. A leaf is named for the fact,
 * carries its subject as a field, and says in its message the name, the rule and the value; never a
 * payload and never a secret.
 */
public abstract class CortexException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final ErrorCode code;

  /** An error that this program found by itself. */
  protected CortexException(ErrorCode code, String message) {
    super(message);
    this.code = Objects.requireNonNull(code, "code");
  }

  /** An error that another one led to. */
  protected CortexException(ErrorCode code, String message, Throwable cause) {
    super(message, cause);
    this.code = Objects.requireNonNull(code, "code");
  }

  /** The kind of failure. */
  public final ErrorCode code() {
    return code;
  }
}
