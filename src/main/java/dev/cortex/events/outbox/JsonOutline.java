package dev.cortex.events.outbox;

import java.util.BitSet;

/**
 * Follows the outline of one JSON document, byte by byte: where it ends, and where it turns out to
 * be broken. Knows brackets and strings and nothing else, so that it is quick, needs a bit per
 * level, and can tell a lost end before the next document has been swallowed.
 */
final class JsonOutline {
  /** What a byte means for the document. */
  enum Step {
    WITHIN,
    END,
    BROKEN
  }

  /** Far beyond what is accepted, and a bound on what a file of brackets costs. */
  private static final int MAX_DEPTH = 10_000;

  private final BitSet objects = new BitSet();
  private int depth;
  private boolean inString;
  private boolean escaped;
  private boolean lineStart;
  private int previous;

  /** Takes the next byte, which is not part of the document when it turns out broken. */
  Step accept(int next) {
    return inString ? inString(next) : outsideString(next);
  }

  private Step inString(int next) {
    if (next == '\n') {
      return Step.BROKEN; // a string never holds a line break as it is
    }
    if (escaped) {
      escaped = false;
    } else if (next == '\\') {
      escaped = true;
    } else if (next == '"') {
      inString = false;
      previous = next;
    }
    return Step.WITHIN;
  }

  private Step outsideString(int next) {
    if (next == ' ' || next == '\t' || next == '\r' || next == '\n') {
      lineStart = next == '\n';
      return Step.WITHIN;
    }
    Step step =
        switch (next) {
          case '{', '[' -> open(next);
          case '}', ']' -> close(next);
          default -> Step.WITHIN;
        };
    inString = next == '"';
    previous = next;
    lineStart = false;
    return step;
  }

  /** A line that starts with a brace where no value may stand is the next document. */
  private Step open(int bracket) {
    if (depth == MAX_DEPTH || (depth > 0 && lineStart && bracket == '{' && !valueMayStart())) {
      return Step.BROKEN;
    }
    objects.set(depth, bracket == '{');
    depth++;
    return Step.WITHIN;
  }

  private Step close(int bracket) {
    if (depth == 0 || objects.get(depth - 1) != (bracket == '}')) {
      return Step.BROKEN;
    }
    depth--;
    return depth == 0 ? Step.END : Step.WITHIN;
  }

  private boolean valueMayStart() {
    return previous == ':' || previous == '[' || (previous == ',' && !objects.get(depth - 1));
  }
}
