package dev.cortex.events.cli;

import java.util.regex.Pattern;

/** What is to be given to a shell. */
final class Shell {
  private static final Pattern PLAIN = Pattern.compile("[A-Za-z0-9_./:@%+,-]+");

  private Shell() {}

  /** As one word, in quotes where any shell would make something else of it. */
  static String word(String value) {
    return PLAIN.matcher(value).matches() ? value : quoted(value);
  }

  /** As one word in quotes, whatever is in it. */
  static String quoted(String value) {
    return "'" + value.replace("'", "'\\''") + "'";
  }
}
