package dev.cortex.events.cli;

import dev.cortex.events.event.CortexException;
import dev.cortex.events.event.ErrorCode;

/** What the caller named is not there. */
final class NothingFoundException extends CortexException {
  private static final long serialVersionUID = 1L;

  private final String subject;

  NothingFoundException(String problem, String subject) {
    super(ErrorCode.NOT_FOUND, problem + ": " + subject);
    this.subject = subject;
  }

  /** What was named. */
  String subject() {
    return subject;
  }
}
