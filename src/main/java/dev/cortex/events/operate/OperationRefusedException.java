package dev.cortex.events.operate;

import dev.cortex.events.event.CortexException;
import dev.cortex.events.event.ErrorCode;

/**
 * An operator asked for something that cannot be: what is named does not exist, is not in a state
 * for it, or breaks a rule. Nothing was changed.
 */
public final class OperationRefusedException extends CortexException {
  private static final long serialVersionUID = 1L;

  private final String field;
  private final String rule;
  private final String value;

  OperationRefusedException(
      ErrorCode code, String field, String rule, String value, Throwable cause) {
    super(code, message(field, rule, value), cause);
    this.field = field;
    this.rule = rule;
    this.value = value;
  }

  OperationRefusedException(ErrorCode code, String field, String rule, String value) {
    super(code, message(field, rule, value));
    this.field = field;
    this.rule = rule;
    this.value = value;
  }

  private static String message(String field, String rule, String value) {
    return "action refused: " + field + " " + rule + ", was \"" + value + "\"";
  }

  /** The argument, by its name in SQL. */
  public String field() {
    return field;
  }

  /** The rule that it breaks, in words. */
  public String rule() {
    return rule;
  }

  /** What it was. */
  public String value() {
    return value;
  }
}
