package dev.cortex.events.cli;

/**
 * Makes text harmless for a terminal. What comes out of the database was written by anybody: it
 * could move the cursor, set the title, fill the clipboard or turn the reading direction.
 */
final class Inert {
  private Inert() {}

  /** One line of text, in which such characters are seen as escapes such as {@code \\u001b}. */
  static String line(String text) {
    if (text.codePoints().noneMatch(Inert::acts)) {
      return text;
    }
    StringBuilder inert = new StringBuilder();
    text.codePoints()
        .forEach(
            point -> {
              if (acts(point)) {
                escape(point, inert);
              } else {
                inert.appendCodePoint(point);
              }
            });
    return inert.toString();
  }

  /** The same for JSON on one line, where it is also the same JSON. */
  static String json(String line) {
    return line(line); // such characters stand within strings only, where an escape means the same
  }

  private static boolean acts(int point) {
    return switch (Character.getType(point)) {
      case Character.CONTROL,
          Character.FORMAT,
          Character.LINE_SEPARATOR,
          Character.PARAGRAPH_SEPARATOR,
          Character.SURROGATE ->
          true;
      default -> false;
    };
  }

  private static void escape(int point, StringBuilder inert) {
    for (char unit : Character.toChars(point)) {
      inert.append(String.format("\\u%04x", (int) unit));
    }
  }
}
