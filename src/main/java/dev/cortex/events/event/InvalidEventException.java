package dev.cortex.events.event;

import java.util.Objects;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/**
 * An event breaks a rule: the message names the field, the rule and, unless it is a document, the
 * value. Nothing was written. The same words whether Java or the database refused it.
 */
public final class InvalidEventException extends CortexException {
  private static final long serialVersionUID = 1L;
  private static final int SHOWN_CHARACTERS = 200;

  private final Defect defect;
  private final String field;
  private final String rule;
  private final @Nullable String value;

  /** Refuses a field whose value is worth showing; at most 200 characters of it are kept. */
  public InvalidEventException(Defect defect, String field, String rule, String value) {
    this(defect, field, rule, shortened(value), true);
  }

  /** Refuses a field that is missing, or whose value must not be shown. */
  public InvalidEventException(Defect defect, String field, String rule) {
    this(defect, field, rule, null, false);
  }

  /** Refuses a field that breaks a rule and whose value is worth showing. */
  public InvalidEventException(String field, String rule, String value) {
    this(Defect.INVALID_FIELD, field, rule, value);
  }

  /** Refuses a field that breaks a rule and whose value must not be shown. */
  public InvalidEventException(String field, String rule) {
    this(Defect.INVALID_FIELD, field, rule);
  }

  private InvalidEventException(
      Defect defect, String field, String rule, @Nullable String value, boolean shown) {
    super(
        ErrorCode.INVALID_DATA,
        "event refused: " + field + " " + rule + (shown ? ", was \"" + value + "\"" : ""));
    this.defect = Objects.requireNonNull(defect, "defect");
    this.field = field;
    this.rule = rule;
    this.value = value;
  }

  /** Cut by characters, not by halves of them. */
  private static String shortened(String value) {
    return value.codePointCount(0, value.length()) <= SHOWN_CHARACTERS
        ? value
        : value.substring(0, value.offsetByCodePoints(0, SHOWN_CHARACTERS));
  }

  /** The kind of defect, for programs. */
  public Defect defect() {
    return defect;
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
