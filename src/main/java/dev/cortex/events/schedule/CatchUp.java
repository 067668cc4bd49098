package dev.cortex.events.schedule;

import java.util.Locale;

/** What becomes of a schedule's ticks that passed while no worker was there to fire them. */
public enum CatchUp {
  /** The newest of them fires, once for all. */
  ONCE,
  /** None of them that is older than a minute. */
  SKIP,
  /** Each of them, the oldest first. */
  ALL;

  /** The word that stands for it in SQL. */
  public String word() {
    return name().toLowerCase(Locale.ROOT);
  }

  static CatchUp of(String word) {
    return valueOf(word.toUpperCase(Locale.ROOT));
  }
}
