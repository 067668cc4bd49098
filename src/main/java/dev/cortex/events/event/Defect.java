package dev.cortex.events.event;

import java.util.Locale;

/**
 * What is wrong with an event that is refused. The words are a closed set: they stand in the
 * quarantine and in the summary of an import.
 */
public enum Defect {
  /** Its bytes are not UTF-8. */
  INVALID_ENCODING,
  /** Its text is not one JSON document. */
  INVALID_JSON,
  /** It is JSON, but nothing in it says that it is an event. */
  NOT_AN_EVENT,
  /** A field that must be given is not. SQLSTATE 23502. */
  MISSING_FIELD,
  /** It has a field that events do not have. */
  UNKNOWN_FIELD,
  /** A field breaks a rule. SQLSTATE 23514. */
  INVALID_FIELD,
  /** Its type is not known. SQLSTATE 23503. */
  UNKNOWN_TYPE,
  /** Its id or its dedupe key stands for another event. SQLSTATE 23505. */
  CONFLICT,
  /** A document is too large, nested too deep, or holds too long a number. SQLSTATE 54000. */
  TOO_LARGE,
  /** A line of a spool is torn, or is not the one that was written. */
  DAMAGED_LINE,
  /** The compressed file that it came from is damaged, and nothing can be read from there on. */
  DAMAGED_FILE;

  /** The word for it, such as {@code missing_field}. */
  public String label() {
    return name().toLowerCase(Locale.ROOT);
  }
}
