package dev.cortex.events.event;

import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * An event breaks a rule: the message names the field, the rule and, unless it is a document, the
 * value. Nothing was written. The same words whether Java or the database refused it.
 */
public final class InvalidEventException extends CortexException {
  private static final long serialVersionUID = 1L;
  private static final int SHOWN_CHARACTERS = 200;

  private final String field;
  private final String rule;
  private final @Nullable String value;

  /** Refuses a field whose value is worth showing. */
  public InvalidEventException(String field, String rule, String value) {
    super(ErrorCode.INVALID_DATA, message(field, rule, value));
    this.field = field;
    this.rule = rule;
    this.value = value;
  }

  /** Refuses a field that is missing, or whose value must not be shown. */
  public InvalidEventException(String field, String rule) {
    super(ErrorCode.INVALID_DATA, message(field, rule, null));
    this.field = field;
    this.rule = rule;
    this.value = null;
  }

  private static String message(String field, String rule, @Nullable String value) {
    String refused = "event refused: " + field + " " + rule;
    return value == null ? refused : refused + ", was \"" + shortened(value) + "\"";
  }

  private static String shortened(String value) {
    return value.length() <= SHOWN_CHARACTERS ? value : value.substring(0, SHOWN_CHARACTERS);
  }

  /** The field, by its name in SQL and JSON. */
  public String field() {
    return field;
  }

  /** The rule that it breaks, in words. */
  public String rule() {
    return rule;
  }

  /** What it was, where that may be shown. */
  public Optional<String> value() {
    return Optional.ofNullable(value);
  }
}
