package dev.cortex.events.operate;

import java.util.Locale;

/** What becomes of the deliveries that a retiring handler has. */
public enum Retirement {
  /** They are finished. Dead letters are waited for, until they are redriven or cancelled. */
  DRAIN,
  /** They are cancelled. */
  DISCARD;

  String label() {
    return name().toLowerCase(Locale.ROOT);
  }
}
