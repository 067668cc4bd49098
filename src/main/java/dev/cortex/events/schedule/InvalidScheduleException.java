package dev.cortex.events.schedule;

import dev.cortex.events.event.CortexException;
import dev.cortex.events.event.ErrorCode;

/** A schedule breaks a rule: the message names the schedule, the field, the rule and the value. */
public final class InvalidScheduleException extends CortexException {
  private static final long serialVersionUID = 1L;

  private final String schedule;
  private final String field;

  InvalidScheduleException(String schedule, String field, String rule, String value) {
    super(ErrorCode.INVALID_DATA, message(schedule, field, rule, value));
    this.schedule = schedule;
    this.field = field;
  }

  InvalidScheduleException(
      String schedule, String field, String rule, String value, Throwable cause) {
    super(ErrorCode.INVALID_DATA, message(schedule, field, rule, value), cause);
    this.schedule = schedule;
    this.field = field;
  }

  private static String message(String schedule, String field, String rule, String value) {
    return "schedule " + schedule + " refused: " + field + " " + rule + ", was \"" + value + "\"";
  }

  /** The schedule's name. */
  public String schedule() {
    return schedule;
  }

  /** The field that breaks the rule, by its name in SQL. */
  public String field() {
    return field;
  }
}
